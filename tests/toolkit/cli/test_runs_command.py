"""`fwdllm runs` and `fwdllm resume`: a bench that was cut off goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from typer.testing import CliRunner

from android_harness.building.recipe import native_recipe
from android_harness.facts.identity import read_identity
from android_harness.fake_phone import FakePhone
from android_harness.host_process import HostProcess
from android_harness.runs.journal import JournaledRun, forget_run, journaled_runs, record_run
from android_harness.runs.live_runs import LiveRuns
from android_harness.runs.supervised_command import start_and_wait, stop
from android_harness.targets.open_target import open_target
from exporters.errors import FwdllmError
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from tests.android_harness.waiting import ends_soon
from tests.command_line import fwdllm
from tests.exporters.models import random_llama
from toolkit.cli.app import app
from toolkit.cli.ending_signals import EndingSignals

_MAIN = "from toolkit.cli.app import main; main()"
_GATE = 3  # the loss, slopes, and both again
_JOBS = 4  # two arms in two blocks


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    return export_gguf(
        str(random_llama(folder / "model")),
        folder / "bundle",
        quantization="f32",
        lora=LoraRequest(rank=2),
        parity_directions=2,
    )


@dataclass
class Desk:
    """A phone, and commands in a folder of their own."""

    phone: FakePhone
    bundle: Bundle
    folder: Path

    def fwdllm(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _MAIN, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def bench(self) -> subprocess.Popen[bytes]:
        quick = [
            "--batch",
            "1",
            "--tokens",
            "8",
            "--directions",
            "1,2",
            "--blocks",
            "2",
            "--most-blocks",
            "2",
        ]
        quick += ["--warmup-seconds", "0", "--repetitions", "1", "--minimum-ms", "0"]
        quick += ["--estimator", "tangent", "--out", "samples"]
        return self.fwdllm("bench", str(self.bundle.folder), "--target", self.phone.target, *quick)

    def output(self, *arguments: str) -> bytes:
        process = self.fwdllm(*arguments)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err.decode()
        return out

    def listed(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The commands and the runs that are under way."""
        seen = json.loads(self.output("runs", "--json"))
        return seen["commands"], seen["runs"]

    def starts(self) -> int:
        path = self.phone.root.path / "starts"
        return len(path.read_text().split()) if path.exists() else 0

    def await_starts(self, count: int) -> None:
        for _ in range(3000):
            if self.starts() >= count:
                return
            time.sleep(0.02)
        raise AssertionError("the runner did not start")

    def samples(self) -> list[str]:
        return (self.folder / "samples" / "samples.jsonl").read_text().splitlines()

    def phone_is_clean(self) -> bool:
        runs = self.phone.root.resolve("/data/local/tmp/fwdllm/runs")
        quiet = all(ends_soon(process) for process in self.phone.running_processes())
        return quiet and not list(runs.iterdir())


@pytest.fixture
def desk(
    bundle: Bundle, runner_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """The runner that is found counts its starts on the phone and takes a second more."""
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    folder = tmp_path / "desk"
    folder.mkdir()
    with FakePhone() as phone:
        runner = native_recipe().path
        runner.parent.mkdir(parents=True)
        counting = f'echo x >>{phone.root.path}/starts; sleep 1; exec {runner_binary} "$@"'
        runner.write_text(f"#!/bin/sh\n{counting}\n")
        runner.chmod(0o755)
        yield Desk(phone, bundle, folder)


def cut_off(process: subprocess.Popen[bytes], number: int) -> int:
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def test_a_killed_bench_is_listed_and_its_job_is_taken_up(desk: Desk) -> None:
    bench = desk.bench()
    desk.await_starts(_GATE + 2)
    cut_off(bench, signal.SIGKILL)
    measured = desk.samples()

    (command,), (run,) = desk.listed()
    assert command["state"] == "interrupted: its process was killed"
    assert (command["arguments"][0], command["targets"]) == ("bench", [desk.phone.target])
    assert (run["target"], run["named"], run["waited_for"]) == (desk.phone.target, True, False)
    assert run["state"] in ("running", "ended")

    desk.output("resume", command["id"])

    assert desk.samples()[: len(measured)] == measured
    assert len(desk.samples()) == _JOBS
    assert desk.starts() == _GATE + _JOBS  # so the job that went on was computed once
    assert desk.listed() == ([], [])
    assert desk.phone_is_clean()


def test_a_signal_leaves_nothing_on_the_phone_and_a_command_to_resume(desk: Desk) -> None:
    bench = desk.bench()
    desk.await_starts(2)

    assert cut_off(bench, signal.SIGTERM) == 128 + signal.SIGTERM

    assert desk.phone_is_clean()
    (command,), found = desk.listed()
    assert command["state"] == "interrupted"
    assert found == []


@pytest.fixture
def phone() -> Iterator[FakePhone]:
    with FakePhone() as phone:
        yield phone


def left_run(phone: FakePhone, name: str) -> JournaledRun:
    """What a process that was killed leaves: a run on the phone, and an entry of this machine."""
    now = datetime.now(UTC)
    with open_target(phone.target) as target:
        folder = target.workspace / "runs" / name
        target.check(["mkdir", "-p", str(folder)])
        target.check(start_and_wait(folder, ["sleep", "60"], deadline_s=60, wait_s=1))
        entry = JournaledRun(
            target=phone.target,
            serial=read_identity(target).serial,
            boot_id=None,
            folder=str(folder),
            name=name,
            named=True,
            bundle="/bundle",
            host=HostProcess(pid=1 << 22, started_ticks=1, boot_id="another"),
            started_at=now,
            deadline_at=now + timedelta(seconds=60),
        )
    record_run(entry)
    return entry


def test_a_left_run_is_stopped_by_its_id(phone: FakePhone) -> None:
    one, other = left_run(phone, "one"), left_run(phone, "other")
    assert [run["state"] for run in fwdllm("runs")["runs"]] == ["running", "running"]

    (run,) = fwdllm("runs", "--stop", one.id)["runs"]
    assert (run["id"], run["waited_for"]) == (other.id, False)

    assert fwdllm("runs", "--stop", "all")["runs"] == []
    assert all(ends_soon(process) for process in phone.running_processes())


def test_what_other_machines_began_is_listed_with_the_device(phone: FakePhone) -> None:
    forget_run(left_run(phone, "a-run"))
    assert fwdllm("runs")["runs"] == []

    (run,) = fwdllm("runs", "--target", phone.target)["runs"]

    assert (run["id"], run["name"], run["state"]) == (None, "a-run", "running")


def test_a_run_that_is_gone_from_its_device_is_forgotten(phone: FakePhone) -> None:
    entry = left_run(phone, "a-run")
    with open_target(phone.target) as target:
        target.check(stop(PurePosixPath(entry.folder)))

    assert fwdllm("runs")["runs"] == []
    assert journaled_runs() == []


def test_a_phone_that_is_away_is_no_reason_to_fail(phone: FakePhone) -> None:
    entry = left_run(phone, "a-run")
    phone.switch_off()

    (run,) = fwdllm("runs")["runs"]
    assert (run["id"], run["state"]) == (entry.id, "unreachable")

    assert fwdllm("runs", "--forget", entry.id[:5])["runs"] == []


@pytest.mark.parametrize("arguments", [("runs", "--stop", "0"), ("resume", "nothing")])
def test_an_id_that_is_none_is_refused(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, FwdllmError)
    assert "has the id" in result.exception.message


def test_a_signal_that_was_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = EndingSignals()
        signals.listen()
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.exit_code is None

        monkeypatch.setattr("android_harness.runs.live_runs.LIVE_RUNS", LiveRuns())
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert signals.exit_code == 143
    finally:
        signal.signal(signal.SIGHUP, hang_up)
        for number, handler in before.items():
            signal.signal(number, handler)
