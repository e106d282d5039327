"""Runs through drops of the link, reboots and deaths: a result is whole or there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from android_harness.errors import (
    DeviceGoneError,
    DeviceRebootedError,
    IncompleteRunError,
    RunnerKilledError,
    RunStoppedError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.records import Record
from android_harness.runs import live_runs
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.runs.journal import journaled_runs
from android_harness.runs.live_runs import LiveRuns
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.manifest import Bundle
from tests.android_harness.runs.recorded_runs import whole_run
from tests.android_harness.waiting import PATIENT, ends_soon

StandIn = Callable[..., Path]

# Another process that runs a job and is killed in the middle of it.
_HOST = """
import json, sys
from pathlib import Path
from android_harness.runs.installed_runner import install_runner
from android_harness.targets.open_target import open_target
from exporters.manifest import Bundle
target, bundle, runner, examples, name = sys.argv[1:]
with open_target(target) as opened:
    installed = install_runner(opened, Bundle(Path(bundle)), runner=Path(runner))
    print("ready", flush=True)
    installed.run(examples=Path(examples), tasks=[], threads=1, name=name or None)
"""


@pytest.fixture
def counted(phone: FakePhone, stand_in: StandIn) -> Callable[[str], Path]:
    """Makes runners that write each of their starts down on the phone, then do as they are told."""
    starts = phone.root.path / "starts"

    def make(then: str) -> Path:
        return stand_in(whole_run(), then=f"echo x >>{starts}; {then}")

    return make


@pytest.fixture
def connected(phone: FakePhone) -> Iterator[Target]:
    with open_target(phone.target, timeouts=PATIENT) as target:
        yield target


def starts(phone: FakePhone) -> int:
    path = phone.root.path / "starts"
    return len(path.read_text().split()) if path.exists() else 0


def run(installed: InstalledRunner, examples: Path, **options: object) -> list[Record]:
    return installed.run(examples=examples, tasks=[], threads=1, **options)  # type: ignore[arg-type]


def soon(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def is_clean(phone: FakePhone) -> bool:
    runs = phone.root.resolve("/data/local/tmp/fwdllm/runs")
    quiet = all(ends_soon(process) for process in phone.running_processes())
    return quiet and not list(runs.iterdir()) and not journaled_runs()


def test_a_drop_in_the_middle_costs_a_reconnect(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
) -> None:
    installed = install_runner(connected, bundle, runner=counted("sleep 1.5"))
    breakers = [threading.Timer(at, phone.drop_connections) for at in (0.5, 1.0)]
    for breaker in breakers:
        breaker.start()

    assert run(installed, examples) == whole_run()

    assert starts(phone) == 1
    assert is_clean(phone)


def test_a_phone_that_is_away_for_a_while_is_waited_for(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
) -> None:
    installed = install_runner(connected, bundle, runner=counted("sleep 1"))

    def leave() -> None:
        phone.faults = Faults(refuse_connections=True)
        phone.drop_connections()

    def come_back() -> None:
        phone.faults = Faults()

    for at, act in ((0.4, leave), (2.5, come_back)):
        threading.Timer(at, act).start()

    assert run(installed, examples) == whole_run()
    assert starts(phone) == 1
    assert is_clean(phone)


def test_a_phone_that_stays_away_keeps_its_run_in_the_journal(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
) -> None:
    installed = install_runner(connected, bundle, runner=counted("sleep 2"), patience_s=0.5)

    def leave() -> None:
        phone.faults = Faults(refuse_connections=True)
        phone.drop_connections()

    threading.Timer(0.4, leave).start()
    with pytest.raises(DeviceGoneError):
        run(installed, examples, name="mine")
    (entry,) = journaled_runs()
    assert (entry.target, entry.name, entry.named) == (phone.target, "mine", True)

    phone.faults = Faults()
    assert run(installed, examples, name="mine") == whole_run()
    assert starts(phone) == 1
    assert is_clean(phone)


@pytest.mark.parametrize("drop_after_s", [0.05, 0.2, 0.45])
def test_a_link_that_breaks_again_and_again_loses_nothing(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
    drop_after_s: float,
) -> None:
    installed = install_runner(connected, bundle, runner=counted("sleep 1"))
    run(installed, examples)  # what is placed before a job is not what is tested
    phone.faults = Faults(drop_after_s=drop_after_s)
    phone.drop_connections()

    assert run(installed, examples) == whole_run()

    phone.faults = Faults()
    assert starts(phone) == 2
    soon(lambda: is_clean(phone))


@pytest.mark.parametrize("bytes_until_end", [200, 2500, 5000, 6000, 7000])
def test_a_connection_that_ends_anywhere_is_made_again(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
    bytes_until_end: int,
) -> None:
    installed = install_runner(connected, bundle, runner=counted("exit 0"))
    run(installed, examples)
    phone.faults = Faults(end_after_bytes=bytes_until_end)
    timer = threading.Timer(0.7, lambda: setattr(phone, "faults", Faults()))
    timer.start()

    assert run(installed, examples) == whole_run()

    timer.join()
    assert starts(phone) == 2
    assert is_clean(phone)


@pytest.mark.parametrize("fault", [Faults(omit_exit_packet=True), Faults(vanish_at_exit=True)])
def test_an_end_without_an_exit_code_is_asked_for_again(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
    fault: Faults,
) -> None:
    installed = install_runner(connected, bundle, runner=counted("exit 0"))
    run(installed, examples)
    phone.faults = fault
    threading.Timer(0.5, lambda: setattr(phone, "faults", Faults())).start()

    assert run(installed, examples) == whole_run()

    assert starts(phone) == 2
    assert is_clean(phone)


def killed_host(
    phone: FakePhone, bundle: Bundle, runner: Path, examples: Path, *, name: str = ""
) -> None:
    """Leaves a run of a process that was killed while it waited."""
    before = starts(phone)
    arguments = [phone.target, str(bundle.folder), str(runner), str(examples), name]
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, *arguments], stdout=subprocess.PIPE, env={**os.environ}
    )
    soon(lambda: starts(phone) > before)
    host.kill()
    host.communicate()


def test_a_named_run_of_a_killed_process_is_taken_up(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
) -> None:
    runner = counted("sleep 2")
    killed_host(phone, bundle, runner, examples, name="a-job")
    (entry,) = journaled_runs()
    assert not entry.host.is_alive

    installed = install_runner(connected, bundle, runner=runner)
    assert run(installed, examples, name="a-job") == whole_run()

    assert starts(phone) == 1
    assert is_clean(phone)


def test_a_result_that_nobody_collected_is_collected(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
) -> None:
    runner = counted("exit 0")
    killed_host(phone, bundle, stand := runner, examples, name="a-job")
    installed = install_runner(connected, bundle, runner=stand)
    assert run(installed, examples, name="a-job") == whole_run()
    assert is_clean(phone)


@pytest.mark.parametrize("name", ["a-job", ""])
def test_what_a_killed_process_left_gives_way_to_another_job(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
    name: str,
) -> None:
    runner = counted("[ -e $FWDLLM_WORKSPACE/quick ] || sleep 60")
    killed_host(phone, bundle, runner, examples, name=name)
    connected.check(["touch", str(connected.workspace / "quick")])
    installed = install_runner(connected, bundle, runner=runner)

    records = installed.run(examples=examples, tasks=[], threads=2, name="a-job")

    assert records == whole_run()
    assert starts(phone) == 2
    assert is_clean(phone)


def test_a_run_that_nobody_waits_for_ends_at_its_deadline(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    stand_in: StandIn,
    examples: Path,
) -> None:
    runner = stand_in([], then="sleep 60")
    installed = install_runner(connected, bundle, runner=runner, patience_s=0.3)

    def leave() -> None:
        phone.faults = Faults(refuse_connections=True)
        phone.drop_connections()

    threading.Timer(0.4, leave).start()
    with pytest.raises(DeviceGoneError):
        run(installed, examples, timeout_s=2)
    assert phone.running_processes()
    soon(lambda: not [p for p in phone.running_processes() if not ends_soon(p)])


def test_a_reboot_is_an_error_of_its_own(
    private_home: None, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    files = {"/proc/sys/kernel/random/boot_id": "first\n", "/proc/cpuinfo": ""}
    props = {"ro.product.cpu.abilist": "x86_64"}
    with (
        FakePhone(files=files, props=props) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        installed = install_runner(target, bundle, runner=stand_in([], then="sleep 60"))
        threading.Timer(0.5, phone.reboot).start()

        with pytest.raises(DeviceRebootedError, match="booted anew"):
            run(installed, examples)

        assert is_clean(phone)


def test_a_run_that_all_was_killed_of_is_no_result(
    phone: FakePhone, connected: Target, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    installed = install_runner(connected, bundle, runner=stand_in(whole_run(), then="sleep 60"))

    threading.Timer(0.5, phone.reboot).start()  # without the recorded boot of another device
    with pytest.raises(IncompleteRunError, match="was killed"):
        run(installed, examples)
    assert is_clean(phone)


def test_runs_in_all_threads_end_when_the_process_is_told_to(
    phone: FakePhone,
    connected: Target,
    bundle: Bundle,
    counted: Callable[[str], Path],
    examples: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = LiveRuns()
    monkeypatch.setattr("android_harness.runs.installed_runner.LIVE_RUNS", live)
    installed = install_runner(connected, bundle, runner=counted("sleep 60"))
    errors: list[Exception] = []

    def wait() -> None:
        try:
            run(installed, examples)
        except RunStoppedError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    soon(lambda: starts(phone) == 3)
    live.stop_all()
    for thread in threads:
        thread.join(timeout=20)

    assert len(errors) == 3
    with pytest.raises(RunStoppedError):
        run(installed, examples)
    assert is_clean(phone)


def test_a_kill_is_explained_by_what_the_device_logged(
    private_home: None, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    line = "01-01 00:00:00.000 1 1 I lowmemorykiller: Kill fwdllm-runner (4), uid 2"
    scripts = {
        "logcat": f"#!/bin/sh\necho '{line}'\n",
        "dumpsys": "#!/bin/sh\necho 'Thermal Status: 4'\n",
    }
    with (
        FakePhone(scripts=scripts) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        installed = install_runner(target, bundle, runner=stand_in([], then="kill -9 $$"))
        with pytest.raises(RunnerKilledError, match="signal 9") as caught:
            run(installed, examples)

    assert f"its log says: {line}" in caught.value.remedy
    assert "thermal status is 4" in caught.value.remedy


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x"])
def test_a_name_that_is_no_folder_is_refused(
    connected: Target, bundle: Bundle, stand_in: StandIn, examples: Path, name: str
) -> None:
    installed = install_runner(connected, bundle, runner=stand_in(whole_run()))
    with pytest.raises(ValueError, match="cannot be named"):
        run(installed, examples, name=name)


def test_the_journal_has_the_run_while_it_is_under_way(
    phone: FakePhone, connected: Target, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    installed = install_runner(connected, bundle, runner=stand_in(whole_run(), then="sleep 1"))
    seen: list[object] = []
    timer = threading.Timer(0.5, lambda: seen.extend(journaled_runs()))
    timer.start()
    run(installed, examples, timeout_s=100)
    timer.join()

    (entry,) = seen
    assert json.loads(entry.model_dump_json())["host"]["pid"] == os.getpid()
    assert (entry.deadline_at - entry.started_at).total_seconds() == 100
    assert not journaled_runs() and live_runs.LIVE_RUNS is not None
