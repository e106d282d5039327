"""Pushes that break: what arrived stays, the next attempt sends the rest, nothing half is whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from android_harness.adb.connection import AdbTimeouts
from android_harness.errors import DeviceError, DeviceGoneError, NoSpaceError
from android_harness.fake_phone import FakePhone, Faults
from android_harness.pushing.content_store import ContentStore
from android_harness.target import APPEND_BLOCK_BYTES, Target
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from tests.android_harness.waiting import PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

SIZE = 6 * APPEND_BLOCK_BYTES + 12_345
SHORT = AdbTimeouts(connect_s=10, authorize_s=10, reply_s=0.5)
# The shells and programs of devices: Android's, a router's, a Linux board's.
SHELLS = {
    "mksh": {"sh": '#!/bin/dash\nexec mksh "$@"\n'},
    "busybox": {
        "sh": '#!/bin/dash\nexec busybox sh "$@"\n',
        **{
            name: f'#!/bin/dash\nexec busybox {name} "$@"\n'
            for name in ("dd", "df", "mv", "rm", "mkdir", "chmod", "touch", "sha256sum")
        },
    },
    "toybox": {
        name: f'#!/bin/dash\nexec toybox {name} "$@"\n'
        for name in ("df", "mv", "rm", "mkdir", "chmod", "touch", "sha256sum")
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.gguf"
    path.write_bytes(os.urandom(SIZE))
    return path


def place(target: Target, file: Path, *, patience_s: float = 5) -> Path:
    """Where the file lies, for a target whose files are this machine's."""
    return Path(ContentStore(target, patience_s=patience_s).place(file))


def incoming(target: Target, file: Path) -> Path:
    return Path(target.workspace / "incoming" / sha256_of(file))


def test_a_link_that_breaks_again_and_again_brings_the_file_in_the_end(
    phone: FakePhone, file: Path
) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = Faults(end_after_bytes=int(2.5 * APPEND_BLOCK_BYTES))
        placed = place(target, file)

    assert placed.read_bytes() == file.read_bytes()
    assert phone.traffic.pushed_bytes < 2 * SIZE


def test_a_link_that_brings_nothing_is_given_up_and_the_error_says_what_is_there(
    phone: FakePhone, file: Path
) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = Faults(end_after_bytes=500_000)
        with pytest.raises(DeviceGoneError) as caught:
            place(target, file)

    assert f"has arrived, 0 of {SIZE} bytes of weights.gguf" in caught.value.remedy


@pytest.mark.parametrize("there", [0, 1, APPEND_BLOCK_BYTES, 3_500_000, SIZE - 1, SIZE])
def test_what_an_earlier_process_left_is_not_sent_again(
    phone: FakePhone, file: Path, there: int
) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        left = incoming(target, file)
        left.parent.mkdir(parents=True)
        left.write_bytes(file.read_bytes()[:there])
        placed = place(target, file)

    whole_blocks = there // APPEND_BLOCK_BYTES * APPEND_BLOCK_BYTES
    assert placed.read_bytes() == file.read_bytes()
    assert phone.traffic.pushed_bytes == SIZE - whole_blocks
    assert not left.exists()


def test_progress_begins_with_what_was_there(target: Target, file: Path) -> None:
    left = incoming(target, file)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(file.read_bytes()[: 3 * APPEND_BLOCK_BYTES])
    progress: list[int] = []

    ContentStore(target).place(file, progress=progress.append)

    assert progress[0] == 3 * APPEND_BLOCK_BYTES
    assert progress == sorted(progress)
    assert progress[-1] == SIZE


@pytest.mark.parametrize("garbage", [b"\0" * 3_000_000, b"x" * (SIZE + 1)])
def test_leftovers_of_other_content_are_not_built_upon(
    target: Target, file: Path, garbage: bytes
) -> None:
    left = incoming(target, file)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(garbage)

    assert place(target, file).read_bytes() == file.read_bytes()


def test_what_a_torn_tail_hides_is_sent(target: Target, file: Path) -> None:
    left = incoming(target, file)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(file.read_bytes()[: 2 * APPEND_BLOCK_BYTES + 500] + b"torn")

    assert place(target, file).read_bytes() == file.read_bytes()


def test_a_host_that_is_killed_is_gone_on_from(
    phone: FakePhone, file: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from android_harness.pushing.content_store import ContentStore\n"
        "from android_harness.targets.open_target import open_target\n"
        "ContentStore(open_target(sys.argv[1])).place(Path(sys.argv[2]))\n"
    )
    phone.faults = Faults(read_delay_s=0.05)
    host = subprocess.Popen([sys.executable, "-c", script, phone.target, str(file)])
    with open_target(phone.target, timeouts=PATIENT) as target:
        left = incoming(target, file)
        while not left.exists() or left.stat().st_size < 3 * APPEND_BLOCK_BYTES:
            assert host.poll() is None
            time.sleep(0.01)
        host.send_signal(signal.SIGKILL)
        host.wait()
        phone.faults = Faults()
        sent = phone.traffic.pushed_bytes
        placed = place(target, file)

    assert placed.read_bytes() == file.read_bytes()
    assert phone.traffic.pushed_bytes - sent <= SIZE - 2 * APPEND_BLOCK_BYTES


def test_several_hosts_that_push_the_same_content_do_not_disturb_each_other(
    phone: FakePhone, file: Path
) -> None:
    def push(_: int) -> bytes:
        with open_target(phone.target, timeouts=PATIENT) as target:
            return place(target, file).read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(push, range(4))) == {file.read_bytes()}
    store = Path(phone.root.environment()["FWDLLM_WORKSPACE"])
    assert [path.name for path in store.rglob("*") if path.is_file()] == [file.name]


def test_a_file_whose_check_was_killed_on_the_device_is_found(target: Target, file: Path) -> None:
    left = incoming(target, file)
    left.parent.mkdir(parents=True, exist_ok=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    Path(f"{left}.{ended.pid}").write_bytes(file.read_bytes())
    progress: list[int] = []

    ContentStore(target).place(file, progress=progress.append)

    assert progress[0] == 6 * APPEND_BLOCK_BYTES
    assert not any(left.parent.iterdir())


def test_a_file_that_another_host_is_checking_is_waited_for(target: Target, file: Path) -> None:
    left = incoming(target, file)
    left.parent.mkdir(parents=True, exist_ok=True)
    final = target.workspace / "store" / left.name / file.name
    script = 'mv "$1" "$1.$$"; sleep 1; mkdir -p "${2%/*}"; mv "$1.$$" "$2"'
    left.write_bytes(file.read_bytes())
    checking = subprocess.Popen(["sh", "-c", script, "check", left, final])
    while left.exists():
        time.sleep(0.01)
    progress: list[int] = []

    ContentStore(target).place(file, progress=progress.append)

    assert checking.wait() == 0
    assert progress == [SIZE]


def test_a_device_without_room_is_not_sent_anything(file: Path) -> None:
    df = "#!/bin/sh\necho 'Filesystem 1K-blocks Used Available Use% Mounted on'\n"
    df += "echo '/dev/block/dm-5 1000000 995000 5000 99% /data'\n"
    with FakePhone(scripts={"df": df}) as phone, open_target(phone.target) as target:
        with pytest.raises(
            NoSpaceError, match=r"6\.3 MB are needed and 5\.1 MB are free"
        ) as caught:
            place(target, file)
        assert phone.traffic.pushed_bytes == 0
        assert "fwdllm clean" in caught.value.remedy

        left = incoming(target, file)  # only what is missing has to fit
        left.parent.mkdir(parents=True)
        left.write_bytes(file.read_bytes()[: 2 * APPEND_BLOCK_BYTES])
        place(target, file)


def test_a_device_that_does_not_tell_its_room_is_trusted(file: Path) -> None:
    with (
        FakePhone(scripts={"df": "#!/bin/sh\necho df: no\nexit 1\n"}) as phone,
        open_target(phone.target) as target,
    ):
        place(target, file)


@pytest.mark.parametrize("shell", SHELLS)
def test_devices_with_other_shells_and_programs_are_gone_on_with(shell: str, file: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    with FakePhone(scripts=SHELLS[shell]) as phone, open_target(phone.target) as target:
        phone.faults = Faults(end_after_bytes=int(3.5 * APPEND_BLOCK_BYTES))
        placed = place(target, file)

        assert placed.read_bytes() == file.read_bytes()
        assert phone.traffic.pushed_bytes < 1.5 * SIZE


def breaks_then_finishes(file: Path, fault: Faults) -> None:
    """Pushes under the fault, then without; never more than what was missing."""
    file.write_bytes(os.urandom(SIZE))
    with FakePhone() as phone, open_target(phone.target, timeouts=SHORT) as target:
        path = Path(target.workspace / "store" / sha256_of(file) / file.name)
        phone.faults = fault
        with suppress(DeviceError):
            place(target, file, patience_s=0.5)
        whole = path.exists()
        assert not whole or path.read_bytes() == file.read_bytes()

        left = incoming(target, file)
        there = left.stat().st_size if left.exists() else 0
        if there and left.read_bytes() != file.read_bytes()[:there]:
            there = 0  # corrupted on the way
        sent = phone.traffic.pushed_bytes
        phone.faults = Faults()
        assert place(target, file).read_bytes() == file.read_bytes()
        missing = 0 if whole else SIZE - there // APPEND_BLOCK_BYTES * APPEND_BLOCK_BYTES
        assert phone.traffic.pushed_bytes - sent == missing


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(("end_after_bytes", "reset_after_bytes", "fail_push_after_bytes")),
    count=st.integers(0, SIZE + 100_000),
    corrupt=st.booleans(),
)
def test_whatever_breaks_the_error_is_typed_and_the_next_attempt_sends_what_is_missing(
    tmp_path: Path, kind: str, count: int, corrupt: bool
) -> None:
    fault = {kind: count, "corrupt_push": corrupt}
    breaks_then_finishes(tmp_path / "weights.gguf", Faults(**fault))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fault",
    [
        Faults(stall_after_bytes=10_000),
        Faults(stall_after_bytes=3_000_000),
        Faults(stall_after_bytes=SIZE + 2_000),
        Faults(vanish_at_exit=True),
        Faults(omit_exit_packet=True),
    ],
)
def test_a_device_that_falls_silent_is_gone_on_with(tmp_path: Path, fault: Faults) -> None:
    breaks_then_finishes(tmp_path / "weights.gguf", fault)
