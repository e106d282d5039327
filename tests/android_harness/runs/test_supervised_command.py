"""The script that runs programs on a device, under the shells that devices have."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.runs.supervised_command import (
    DEADLINE_EXIT_CODE,
    RunReport,
    claim,
    is_run_name,
    list_runs,
    parse_list,
    parse_report,
    start_and_wait,
    stop,
    wait,
)
from tests.android_harness.waiting import ends_soon

SHELLS = {"dash": "dash", "busybox": "busybox", "mksh": "mksh"}
SLEEP = ["sh", "-c", "echo one; sleep 60 & sleep 60"]


@dataclass
class Device:
    """A folder of runs, and a shell that takes the commands."""

    folder: Path
    environment: dict[str, str]

    @property
    def run(self) -> PurePosixPath:
        return PurePosixPath(self.folder / "runs" / "a-run")

    def output(self, command: Sequence[str], timeout: float = 20) -> bytes:
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            check=False,
            timeout=timeout,
        ).stdout

    def report(self, command: Sequence[str]) -> RunReport | None:
        return parse_report(self.output(command))

    def start(
        self, program: Sequence[str], *, deadline_s: float = 50, wait_s: int = 20
    ) -> RunReport | None:
        Path(self.run).mkdir(parents=True, exist_ok=True)
        return self.report(start_and_wait(self.run, program, deadline_s=deadline_s, wait_s=wait_s))

    def processes(self) -> list[int]:
        """What runs of the run, by the variable that all of it carries."""
        needle = f"FWDLLM_TEST_DEVICE={self.folder}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def is_quiet(self) -> bool:
        return all(ends_soon(process) for process in self.processes())

    def boot(self, boot_id: str) -> None:
        """Another boot, as far as the scripts can tell."""
        path = self.folder / "system/proc/sys/kernel/random/boot_id"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{boot_id}\n")
        self.environment["FWDLLM_SYSTEM_ROOT"] = str(self.folder / "system")


@pytest.fixture(params=list(SHELLS))
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    program = shutil.which(SHELLS[request.param])
    if program is None:
        pytest.skip(f"{request.param} is not installed on this machine")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sh").symlink_to(program)
    if request.param == "busybox":
        for applet in ("sleep", "setsid", "rm", "cat", "mkdir"):
            (programs / applet).symlink_to(program)
    device = Device(
        tmp_path,
        {"PATH": f"{programs}:{os.environ['PATH']}", "FWDLLM_TEST_DEVICE": str(tmp_path)},
    )
    yield device
    device.output(stop(device.run))


@pytest.mark.parametrize("code", [0, 7])
def test_a_short_run_is_over_in_one_command(device: Device, code: int) -> None:
    report = device.start(["sh", "-c", f"echo out; echo err >&2; exit {code}"])

    assert report == RunReport("ended", code, "out\n")
    assert (Path(device.run) / "stderr.txt").read_text() == "err\n"
    assert device.is_quiet()


def test_a_long_run_is_reported_as_running_and_goes_on(device: Device) -> None:
    assert device.start(["sh", "-c", "sleep 2; exit 3"], wait_s=1) == RunReport("running")
    assert device.report(wait(device.run, wait_s=20)) == RunReport("ended", 3)
    assert device.report(wait(device.run, wait_s=20)) == RunReport("ended", 3)
    assert device.is_quiet()


def test_a_run_is_started_once_however_often_it_is_asked_for(device: Device) -> None:
    starts = device.folder / "starts"
    program = ["sh", "-c", f"echo x >>{starts}; sleep 1"]
    Path(device.run).mkdir(parents=True)
    command = start_and_wait(device.run, program, deadline_s=50, wait_s=20)
    asking = [
        subprocess.Popen(command, env=device.environment, stdout=subprocess.PIPE) for _ in range(4)
    ]
    reports = [parse_report(each.communicate(timeout=20)[0]) for each in asking]

    assert reports == [RunReport("ended", 0)] * 4
    assert device.report(command) == RunReport("ended", 0)
    assert starts.read_text() == "x\n"


def test_a_run_outlives_whoever_asked_for_it(device: Device) -> None:
    Path(device.run).mkdir(parents=True)
    command = start_and_wait(
        device.run, ["sh", "-c", "sleep 1; echo done"], deadline_s=50, wait_s=20
    )
    asking = subprocess.Popen(command, env=device.environment, start_new_session=True)
    time.sleep(0.5)
    for number in (signal.SIGHUP, signal.SIGKILL):
        os.killpg(asking.pid, number)
    asking.wait()

    assert device.report(wait(device.run, wait_s=20)) == RunReport("ended", 0, "done\n")


def test_a_run_is_killed_at_its_deadline_with_its_children(device: Device) -> None:
    assert device.start(SLEEP, deadline_s=1) == RunReport("ended", DEADLINE_EXIT_CODE, "one\n")
    assert device.is_quiet()


def test_stopping_kills_all_of_it_and_wakes_whoever_waits(device: Device) -> None:
    assert device.start(SLEEP, wait_s=1) == RunReport("running")
    waiting = subprocess.Popen(
        wait(device.run, wait_s=60), env=device.environment, stdout=subprocess.PIPE
    )
    time.sleep(0.3)

    device.output(stop(device.run))

    assert parse_report(waiting.communicate(timeout=20)[0]) == RunReport("absent")
    assert not Path(device.run).exists()
    assert device.is_quiet()


def test_stopping_right_after_the_start_leaves_nothing(device: Device) -> None:
    for pause in (0, 0.002, 0.005, 0.01, 0.02):
        Path(device.run).mkdir(parents=True, exist_ok=True)
        asking = subprocess.Popen(
            start_and_wait(device.run, SLEEP, deadline_s=50, wait_s=1),
            env=device.environment,
            stdout=subprocess.PIPE,
        )
        time.sleep(pause)
        device.output(stop(device.run))
        asking.communicate(timeout=20)
        device.output(stop(device.run))  # for a shell that had not begun when the first one came
        assert device.is_quiet()


def test_stopping_what_is_not_there_is_fine(device: Device) -> None:
    device.output(stop(device.run))
    assert device.report(wait(device.run, wait_s=5)) == RunReport("absent")


def test_a_run_whose_supervisor_was_killed_is_lost(device: Device) -> None:
    assert device.start(SLEEP, wait_s=1) == RunReport("running")
    os.kill(int((Path(device.run) / "supervisor").read_text().split()[0]), signal.SIGKILL)

    assert device.report(wait(device.run, wait_s=5)) == RunReport("lost")
    device.output(stop(device.run))
    assert device.is_quiet()


def test_the_deadline_is_kept_without_the_supervisor(device: Device) -> None:
    assert device.start(SLEEP, deadline_s=2, wait_s=1) == RunReport("running")
    os.kill(int((Path(device.run) / "supervisor").read_text().split()[0]), signal.SIGKILL)
    time.sleep(2)
    assert device.is_quiet()


def test_after_a_reboot_no_process_is_taken_for_the_run(device: Device) -> None:
    device.boot("first")
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            assert device.start(SLEEP, wait_s=1) == RunReport("running")
            began = Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19]
            run = Path(device.run)
            ours = [int(line.split()[0]) for line in (run / "processes").read_text().splitlines()]
            for name in ("supervisor", "processes"):
                (run / name).write_text(f"{stranger.pid} {began} first\n")

            device.boot("second")
            assert device.report(wait(device.run, wait_s=5)) == RunReport("rebooted")
            device.output(stop(device.run))

            assert stranger.poll() is None
            assert not run.exists()
            for process in ours:
                try:
                    os.kill(process, signal.SIGKILL)
                    os.killpg(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        finally:
            stranger.kill()


def test_the_reuse_of_a_process_id_kills_no_stranger(device: Device) -> None:
    device.boot("only")
    Path(device.run).mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            (Path(device.run) / "processes").write_text(f"{stranger.pid} 1 only\n")
            device.output(stop(device.run))
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_only_the_same_job_is_taken_up(device: Device) -> None:
    one, other = "1" * 64, "2" * 64
    assert device.report(claim(device.run, one)) == RunReport("absent")
    assert device.start(SLEEP, wait_s=1) == RunReport("running")

    assert device.report(claim(device.run, one)) == RunReport("running")
    assert device.report(claim(device.run, other)) == RunReport("absent")
    assert device.is_quiet()
    assert [path.name for path in Path(device.run).iterdir()] == ["job_sha256"]


@pytest.mark.parametrize(("code", "state"), [(0, "ended"), (9, "absent")])
def test_a_result_is_taken_up_and_a_failure_is_not(device: Device, code: int, state: str) -> None:
    device.output(claim(device.run, "1" * 64))
    device.start(["sh", "-c", f"exit {code}"])

    report = device.report(claim(device.run, "1" * 64))

    assert report is not None and report.state == state


def test_all_runs_are_listed_by_name(device: Device) -> None:
    assert parse_list(device.output(list_runs(device.run.parent))) == {}
    device.start(SLEEP, wait_s=1)
    done = device.run.with_name("b-run")
    Path(done).mkdir()
    device.report(start_and_wait(done, ["sh", "-c", "exit 4"], deadline_s=5, wait_s=5))
    (Path(device.run).parent / "c-run").mkdir()

    assert parse_list(device.output(list_runs(device.run.parent))) == {
        "a-run": RunReport("running"),
        "b-run": RunReport("ended", 4),
        "c-run": RunReport("absent"),
    }


def test_a_program_that_is_not_there_ends_with_the_shells_code(device: Device) -> None:
    assert device.start(["/no/such/program"]) == RunReport("ended", 127)
    assert "/no/such/program" in (Path(device.run) / "stderr.txt").read_text()


def test_without_setsid_a_run_still_ends_and_is_still_stopped(device: Device) -> None:
    bare = device.folder / "bare"
    bare.mkdir()
    for name in ("sleep", "rm", "cat", "mkdir"):
        program = shutil.which(name)
        assert program is not None
        (bare / name).symlink_to(program)
    device.environment["PATH"] = f"{bare}:{device.folder / 'bare-shell'}"
    (device.folder / "bare-shell").mkdir()
    (device.folder / "bare-shell" / "sh").symlink_to((device.folder / "bin" / "sh").readlink())

    assert device.start(["sh", "-c", "exit 3"]) == RunReport("ended", 3)
    device.output(["rm", "-r", str(device.run)])
    assert device.start(["sleep", "60"], wait_s=1) == RunReport("running")
    device.output(stop(device.run))
    assert device.is_quiet()


@given(st.binary(max_size=80))
def test_whatever_a_device_prints_is_a_report_or_none(said: bytes) -> None:
    report = parse_report(said)
    assert report is None or (report.exit_code is not None) == (report.state == "ended")
    assert all(is_run_name(name) for name in parse_list(said))


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "a b", "a\n", "x" * 101])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    assert not is_run_name(name)
