"""Which commands stay in the journal, and why."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from android_harness.errors import DeviceGoneError
from exporters.errors import FwdllmError
from toolkit.cli.recorded_command import recorded_command, recorded_commands


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["fwdllm", "bench", "a bundle", "--out", "samples"])


@pytest.fixture
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def work(error: BaseException | None = None) -> None:
    with recorded_command(targets=["local"], out=Path("samples")):
        (command,) = recorded_commands()
        assert command.is_running
        if error is not None:
            raise error


def test_a_command_is_written_down_until_it_is_done(tmp_path: Path) -> None:
    with recorded_command(targets=["local"], out=Path("samples")):
        (command,) = recorded_commands()
    assert command.arguments == ("bench", "a bundle", "--out", "samples")
    assert command.line == "bench 'a bundle' --out samples"
    assert (command.cwd, command.out) == (str(tmp_path), str(tmp_path / "samples"))
    assert recorded_commands() == []


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (DeviceGoneError("no reply", device="adb:X"), "adb:X: no reply"),
    ],
)
def test_what_can_be_continued_stays_and_says_why(error: BaseException, state: str) -> None:
    with pytest.raises(type(error)):
        work(error)
    (command,) = recorded_commands()
    assert not command.is_running
    assert command.state == state

    work()  # the same command again
    assert recorded_commands() == []


def test_what_running_it_again_would_not_mend_goes() -> None:
    with pytest.raises(FwdllmError):
        work(FwdllmError("no such arm"))
    assert recorded_commands() == []


def test_the_same_command_does_not_run_twice_at_once(
    another_process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr("os.getpid", lambda: another_process.pid)
        running = recorded_command(targets=["local"], out=Path("samples"))
        running.__enter__()

    with pytest.raises(FwdllmError, match=f"process {another_process.pid}"):
        work()

    another_process.kill()
    another_process.wait()
    (command,) = recorded_commands()
    assert command.state == "interrupted: its process was killed"
    work()
