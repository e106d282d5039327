"""What holds for every target, this machine or a phone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from android_harness.errors import (
    DeviceGoneError,
    DeviceTimeoutError,
    MissingFileError,
    MissingProgramError,
    NotExecutableError,
    TransferError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.target import APPEND_BLOCK_BYTES, Target
from android_harness.targets.open_target import open_target
from tests.android_harness.waiting import HASTY, PATIENT, ends_soon

pytestmark = pytest.mark.usefixtures("private_home")


def test_a_command_returns_its_exit_code_and_both_outputs(target: Target) -> None:
    result = target.run(["sh", "-c", "echo out; echo err >&2; exit 7"])

    assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_arguments_arrive_as_they_are(target: Target) -> None:
    odd = ["", "two words", "quote ' and \"", "$HOME `id` \\", "line\nbreak", "ünïcode"]

    result = target.run(["printf", "%s|", *odd])

    assert result.stdout.decode() == "".join(f"{word}|" for word in odd)


def test_output_larger_than_a_packet_is_whole(target: Target) -> None:
    result = target.run(["sh", "-c", "head -c 3000000 /dev/zero; head -c 100000 /dev/zero >&2"])

    assert (len(result.stdout), len(result.stderr)) == (3_000_000, 100_000)


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("SEGV", 139)])
def test_a_signal_reads_as_128_plus_its_number(target: Target, signal: str, code: int) -> None:
    assert target.run(["sh", "-c", f"kill -{signal} $$"]).exit_code == code


def test_check_raises_by_exit_code(target: Target, tmp_path: Path) -> None:
    plain = tmp_path / "not-a-program"
    plain.write_text("text")

    with pytest.raises(MissingProgramError, match="no-such-program"):
        target.check(["no-such-program"])
    with pytest.raises(NotExecutableError):
        target.check([str(plain)])


def test_a_command_that_takes_too_long_times_out(target: Target) -> None:
    with pytest.raises(DeviceTimeoutError, match="sleep 60"):
        target.run(["sleep", "60"], timeout_s=0.3)

    assert target.run(["echo", "again"]).stdout == b"again\n"


def test_the_local_target_kills_all_that_a_timed_out_command_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with open_target("local") as target, pytest.raises(DeviceTimeoutError):
        target.run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], timeout_s=1)

    assert ends_soon(int(pid_file.read_text()))


def test_a_file_comes_back_as_it_went(target: Target, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000  # several packets and a partial chunk
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(content)
    progress: list[int] = []

    target.push(local, target.workspace / "deep" / "er" / "file", progress=progress.append)
    target.pull(target.workspace / "deep" / "er" / "file", back)

    assert back.read_bytes() == content
    assert progress == sorted(progress)
    assert progress[-1] == len(content)


def test_an_empty_file_can_be_pushed(target: Target, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    target.push(tmp_path / "empty", target.workspace / "empty")
    target.pull(target.workspace / "empty", tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == b""


def test_missing_files_are_told_on_either_side(target: Target, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        target.push(tmp_path / "absent", target.workspace / "file")
    with pytest.raises(MissingFileError):
        target.pull(target.workspace / "absent", tmp_path / "file")

    assert not (tmp_path / "file").exists()


def test_a_command_does_not_wait_for_another(phone: FakePhone) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        flag = target.workspace / "flag"
        target.check(["mkdir", "-p", str(target.workspace)])
        waiting = ["sh", "-c", f"while [ ! -f {flag} ]; do sleep 0.05; done"]
        with ThreadPoolExecutor() as pool:
            first = pool.submit(target.run, waiting, timeout_s=30)
            target.check(["touch", str(flag)], timeout_s=30)
            assert first.result().exit_code == 0


def test_two_phones_work_side_by_side(tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_bytes(b"x" * 3_000_000)
    both_started = threading.Barrier(2)

    def use(phone: FakePhone) -> bytes:
        with open_target(phone.target, timeouts=PATIENT) as target:
            both_started.wait()
            remote = target.workspace / "file"
            target.push(local, remote)
            return target.check(["wc", "-c", str(remote)]).stdout.split()[0]

    with FakePhone() as one, FakePhone() as other, ThreadPoolExecutor() as pool:
        assert list(pool.map(use, (one, other))) == [b"3000000", b"3000000"]
        assert one.traffic.pushed_bytes == other.traffic.pushed_bytes == 3_000_000


def test_a_file_grows_by_what_is_appended(target: Target, tmp_path: Path) -> None:
    local, remote = tmp_path / "file", target.workspace / "new folder" / "file"
    content = bytes(range(256)) * 10_000
    seen: list[int] = []
    local.write_bytes(content[:APPEND_BLOCK_BYTES])
    target.append(local, remote, progress=seen.append)
    local.write_bytes(content)
    target.append(local, remote, offset=APPEND_BLOCK_BYTES, progress=seen.append)
    target.pull(remote, tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == content
    assert seen == sorted(seen)
    assert seen[-1] == len(content)
    stat = target.stat(remote)
    assert stat is not None
    assert stat.size == len(content)
    target.append(local, remote)
    assert target.stat(remote) == stat
    assert target.stat(remote.with_name("absent")) is None


def test_what_lies_beyond_the_offset_is_overwritten(target: Target, tmp_path: Path) -> None:
    local, remote = tmp_path / "file", target.workspace / "file"
    content = bytes(range(256)) * 10_000
    local.write_bytes(content[:2_000_000] + b"torn")
    target.append(local, remote)
    local.write_bytes(content)
    target.append(local, remote, offset=APPEND_BLOCK_BYTES)
    target.pull(remote, tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == content


def test_an_empty_file_can_be_appended(target: Target, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    target.append(tmp_path / "empty", target.workspace / "emptied")

    stat = target.stat(target.workspace / "emptied")
    assert stat is not None
    assert stat.size == 0


def test_what_cannot_be_appended_to_says_why(target: Target, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_bytes(bytes(3_000_000))
    with pytest.raises(TransferError, match="directory"):
        target.append(local, target.workspace.parent, offset=APPEND_BLOCK_BYTES)
    with pytest.raises(MissingFileError):
        target.append(tmp_path / "absent", target.workspace / "file")


def test_a_lost_device_is_waited_for(phone: FakePhone) -> None:
    with open_target(phone.target, timeouts=HASTY) as target:
        phone.faults = Faults(end_after_bytes=0)
        with pytest.raises(DeviceGoneError):
            target.wait_for(timeout_s=0.5)

        back = threading.Timer(0.4, lambda: setattr(phone, "faults", Faults()))
        back.start()
        target.wait_for(timeout_s=20)
        assert target.run(["true"]).exit_code == 0
        back.join()
