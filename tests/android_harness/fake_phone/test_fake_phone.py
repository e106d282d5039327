"""What the fake phone promises beyond answering: isolation, slowness, and an end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import DeviceGoneError, NoSpaceError
from android_harness.fake_phone import FakePhone, Faults
from android_harness.fake_phone.authentication import parse_public_key
from android_harness.fake_phone.wire import Message, WireError, read_message
from android_harness.targets.open_target import open_target
from tests.android_harness.waiting import PATIENT, ends_soon

pytestmark = pytest.mark.usefixtures("private_home")


def test_nothing_survives_the_phone(tmp_path: Path) -> None:
    with FakePhone() as phone, open_target(phone.target, timeouts=PATIENT) as target:
        command = "setsid sleep 60 >/dev/null 2>&1 </dev/null & setsid sleep 60 >&- 2>&- & echo on"
        assert target.run(["sh", "-c", command]).stdout == b"on\n"
        processes = phone.running_processes()
        folder = phone.root.path
        assert processes

    assert all(ends_soon(process) for process in processes)
    assert not folder.exists()


def test_paths_cannot_leave_the_phone(phone: FakePhone, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_text("inside")
    with open_target(phone.target, timeouts=PATIENT) as target:
        target.push(local, PurePosixPath("/../../escaped"))
        target.push(local, PurePosixPath("/data/local/tmp/plain"))

    assert (phone.root.path / "escaped").read_text() == "inside"
    assert (phone.root.path / "data/local/tmp/plain").read_text() == "inside"


def test_properties_files_and_scripts_are_served() -> None:
    with (
        FakePhone(
            props={"ro.product.model": "Model = [X]"},
            files={"/proc/meminfo": "MemTotal: 7 kB\n"},
            scripts={"dumpsys": '#!/bin/sh\necho "Service $1"\n'},
        ) as phone,
        open_target(phone.target) as target,
    ):
        assert target.check(["getprop", "ro.product.model"]).stdout == b"Model = [X]\n"
        assert target.check(["getprop", "no.such", "else"]).stdout == b"else\n"
        assert target.check(["dumpsys", "battery"]).stdout == b"Service battery\n"
        meminfo = target.check(["sh", "-c", "cat $FWDLLM_SYSTEM_ROOT/proc/meminfo"])
        assert meminfo.stdout == b"MemTotal: 7 kB\n"


def test_a_slow_phone_stands_still_most_of_the_time() -> None:
    with FakePhone(slowdown=20) as phone, open_target(phone.target, timeouts=PATIENT) as target:
        # The command's own CPU time is far below the wall time that it sees go by.
        spin = "import time; s = time.monotonic()\nwhile time.process_time() < 0.05: pass\n"
        spin += "print((time.monotonic() - s) / time.process_time())"
        ratio = float(target.check([sys.executable, "-S", "-c", spin]).stdout)
    assert ratio > 4


def test_a_speedup_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FakePhone(slowdown=0.5)


def test_it_runs_from_the_command_line() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "android_harness.fake_phone", "--port", "0"],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        with open_target(process.stdout.readline().decode().strip()) as target:
            assert target.run(["echo", "hello"]).stdout == b"hello\n"
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
        process.stdout.close()


def parse(data: bytes) -> Message:
    async def read() -> Message:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_message(reader, verify_checksum=True)

    return asyncio.run(read())


words = st.integers(min_value=0, max_value=0xFFFFFFFF)


@given(st.binary(min_size=4, max_size=4), words, words, st.binary(max_size=300))
def test_messages_survive_the_wire(command: bytes, arg0: int, arg1: int, data: bytes) -> None:
    message = Message(command, arg0, arg1, data)
    assert parse(message.pack(with_checksum=True)) == message


@given(st.binary(max_size=100))
def test_noise_is_no_message(noise: bytes) -> None:
    with pytest.raises((WireError, asyncio.IncompleteReadError)):
        parse(noise)


@given(st.binary(max_size=800))
def test_noise_is_no_key(noise: bytes) -> None:
    with pytest.raises(ValueError, match="not an ADB public key"):
        parse_public_key(noise)


def test_a_reboot_ends_what_runs_and_keeps_the_files(phone: FakePhone) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        target.check(["sh", "-c", "echo kept >$HOME/file; sleep 60 >&- 2>&- &"])
        assert phone.running_processes()

        phone.reboot(off_s=0.2)

        assert not phone.running_processes()
        target.wait_for(timeout_s=5)
        said = target.check(["sh", "-c", "cat $HOME/file"])
        assert said.stdout == b"kept\n"


def test_a_phone_that_reboots_is_away_for_a_while(phone: FakePhone) -> None:
    rebooting = threading.Thread(target=phone.reboot, kwargs={"off_s": 1.0})
    with open_target(phone.target, timeouts=PATIENT) as target:
        rebooting.start()
        time.sleep(0.3)
        with pytest.raises(DeviceGoneError):
            target.run(["true"])
        rebooting.join()
        assert target.run(["true"]).exit_code == 0


def test_the_input_of_commands_is_counted_changed_and_cut_on_demand(
    phone: FakePhone, tmp_path: Path
) -> None:
    local = tmp_path / "file"
    local.write_bytes(bytes(10_000))
    with open_target(phone.target) as target:
        target.append(local, target.workspace / "whole")
        assert phone.traffic.pushed_bytes == 10_000

        phone.faults = Faults(corrupt_push=True)
        target.append(local, target.workspace / "changed")
        target.pull(target.workspace / "changed", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == bytes(9_999) + b"\1"

        phone.faults = Faults(fail_push_after_bytes=5_000)
        with pytest.raises(NoSpaceError):
            target.append(local, target.workspace / "cut")
