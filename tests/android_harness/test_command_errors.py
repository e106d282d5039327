"""What a command's end means: an error of its own for each row that a harness must tell apart."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import (
    CommandFailedError,
    CommandKilledError,
    DeviceError,
    ExecutionDeniedError,
    MissingProgramError,
    NoSpaceError,
    NotExecutableError,
    PermissionDeniedError,
    WrongAbiError,
)
from android_harness.target import CommandResult, Target, command_error

RUNNER = ["/data/local/tmp/fwdllm/runner", "job.json"]


@pytest.mark.parametrize(
    ("code", "said", "command", "kind"),
    [
        (127, "sh: no-such: inaccessible or not found", ["no-such"], MissingProgramError),
        (126, "sh: ./runner: can't execute: Permission denied", RUNNER, NotExecutableError),
        (126, "./runner: not executable: 64-bit ELF file", RUNNER, WrongAbiError),
        (126, "exec runner: Exec format error", RUNNER, WrongAbiError),
        (2, './runner: 1: Syntax error: "(" unexpected', RUNNER, WrongAbiError),
        (1, "./runner[1]: syntax error: unexpected ')'", RUNNER, WrongAbiError),
        (2, 'sh: 1: Syntax error: "fi" unexpected', ["sh", "-c", "fi"], CommandFailedError),
        (137, "Killed", RUNNER, CommandKilledError),
        (139, "", RUNNER, CommandKilledError),
        (255, "", RUNNER, CommandFailedError),
        (
            126,
            "avc:  denied  { execute } for path=/data/x scontext=u:r:shell:s0\nsh: cannot execute",
            RUNNER,
            ExecutionDeniedError,
        ),
        (1, "cat: write error: No space left on device", ["cat"], NoSpaceError),
        (1, "mkdir: '/x': Read-only file system", ["mkdir", "/x"], PermissionDeniedError),
        (1, "cat: /x: Permission denied", ["cat", "/x"], PermissionDeniedError),
        (1, "something new", ["cat"], CommandFailedError),
    ],
)
def test_each_end_has_its_error(
    code: int, said: str, command: list[str], kind: type[DeviceError]
) -> None:
    error = command_error(CommandResult(code, b"", said.encode()), command, device="adb:X")

    assert type(error) is kind
    assert (error.device, error.phase) == ("adb:X", "running")
    assert command[0] in error.command
    assert kind is CommandFailedError or error.remedy


def test_a_signal_is_told() -> None:
    error = command_error(CommandResult(137, b"", b""), RUNNER, device="adb:X")
    assert isinstance(error, CommandKilledError)
    assert error.signal == 9
    assert "memory" in error.remedy


@given(st.integers(-1, 300), st.binary(), st.booleans())
def test_whatever_a_command_says_there_is_an_error(
    code: int, said: bytes, executable: bool
) -> None:
    result = CommandResult(code, b"", said)
    error = command_error(result, RUNNER, device="x", program_is_executable=executable)
    assert isinstance(error, DeviceError)


def test_a_program_for_another_processor_is_told(target: Target, tmp_path: Path) -> None:
    # As a shell sees it: the kernel refuses the file, and what is in it is no script either.
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00(((" + bytes(64))
    program.chmod(0o755)
    with pytest.raises((WrongAbiError, NotExecutableError)) as caught:
        target.check([str(program)])
    assert "ABI" in caught.value.remedy


def test_a_mount_without_execution_is_told_from_a_missing_mode(
    target: Target, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    with pytest.raises(NotExecutableError) as caught:
        target.check([str(plain)])
    assert type(caught.value) is NotExecutableError

    mount = Path(target.workspace) / "mount"
    mount.mkdir(parents=True)
    if shutil.which("mount") is None or _mount(mount) != 0:
        pytest.skip("this user may not mount")
    try:
        program = mount / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        with pytest.raises(ExecutionDeniedError, match="SELinux"):
            target.check([str(program)])
    finally:
        subprocess.run(["umount", mount], check=True)
        mount.rmdir()


def _mount(folder: Path) -> int:
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,size=1m", "tmpfs", str(folder)]
    return subprocess.run(mount, capture_output=True).returncode
