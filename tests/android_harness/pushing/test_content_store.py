"""Content is sent once, verified on the device, and never taken for whole when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from android_harness.errors import DeviceGoneError, MissingFileError, PushVerificationError
from android_harness.fake_phone import FakePhone, Faults
from android_harness.pushing.content_store import ContentStore
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from tests.android_harness.waiting import PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

SIZE = 2_000_000
NO_PROGRAM = "#!/bin/sh\nexit 127\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"\x5a" * SIZE)
    return path


def test_a_file_lies_under_its_hash(target: Target, file: Path) -> None:
    path = ContentStore(target).place(file)

    assert path == target.workspace / "store" / sha256_of(file) / "weights.gguf"
    assert target.check(["sha256sum", str(path)]).stdout.split()[0].decode() == sha256_of(file)


def test_only_programs_are_executable(target: Target, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    store = ContentStore(target)

    path = store.place(script, executable=True)

    assert target.check([str(path)]).stdout == b"ran\n"


@pytest.mark.parametrize("new_store", [False, True])
def test_known_content_is_not_sent_again(phone: FakePhone, file: Path, new_store: bool) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        store = ContentStore(target)
        first = store.place(file)
        assert phone.traffic.pushed_bytes == SIZE

        progress: list[int] = []
        again = (ContentStore(target) if new_store else store).place(file, progress=progress.append)

        assert again == first
        assert phone.traffic.pushed_bytes == SIZE
        assert progress == [SIZE]


def test_content_that_rotted_on_the_device_is_sent_again(phone: FakePhone, file: Path) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        path = ContentStore(target).place(file)
        phone.root.resolve(str(path)).write_bytes(b"\x5a" * (SIZE - 1) + b"!")

        ContentStore(target).place(file)

        assert phone.root.resolve(str(path)).read_bytes() == file.read_bytes()


def test_a_byte_changed_on_the_way_is_found(phone: FakePhone, file: Path) -> None:
    phone.faults = Faults(corrupt_push=True)
    with open_target(phone.target, timeouts=PATIENT) as target:
        with pytest.raises(PushVerificationError, match=sha256_of(file)):
            ContentStore(target).place(file)
        left = target.check(["find", str(target.workspace), "-type", "f"]).stdout
        assert left == b""

        phone.faults = Faults()
        ContentStore(target).place(file)


def test_a_broken_push_leaves_nothing_under_the_hash(phone: FakePhone, file: Path) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = Faults(end_after_bytes=500_000)
        with pytest.raises(DeviceGoneError):
            ContentStore(target).place(file)

        phone.faults = Faults()
        path = ContentStore(target).place(file)
        assert phone.root.resolve(str(path)).read_bytes() == file.read_bytes()


def test_without_a_hash_program_the_content_is_read_back(file: Path) -> None:
    scripts = {name: NO_PROGRAM for name in ("sha256sum", "toybox", "busybox", "openssl")}
    with FakePhone(scripts=scripts) as phone, open_target(phone.target) as target:
        ContentStore(target).place(file)
        ContentStore(target).place(file)
        assert phone.traffic.pushed_bytes == SIZE

        phone.faults = Faults(corrupt_push=True)
        file.write_bytes(b"other")
        with pytest.raises(PushVerificationError):
            ContentStore(target).place(file)


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("sha256sum", "exec python3 -c 'PROGRAM'"),
        ("toybox", "[ $1 = sha256sum ] && exec python3 -c 'PROGRAM'"),
        ("busybox", "[ $1 = sha256sum ] && exec python3 -c 'PROGRAM'"),
        ("openssl", "exec python3 -c 'PROGRAM'"),
    ],
)
def test_any_program_that_knows_sha256_will_do(file: Path, program: str, script: str) -> None:
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), 1)"
    scripts = {name: NO_PROGRAM for name in ("sha256sum", "toybox", "busybox", "openssl")}
    scripts[program] = "#!/bin/sh\n" + script.replace("PROGRAM", code) + "\n"
    with FakePhone(scripts=scripts) as phone, open_target(phone.target) as target:
        ContentStore(target).place(file)
        ContentStore(target).place(file)
        assert phone.traffic.pushed_bytes == SIZE


def test_a_program_that_gives_wrong_hashes_is_not_asked(file: Path) -> None:
    scripts = {name: "#!/bin/sh\necho 0123\n" for name in ("sha256sum", "toybox", "busybox")}
    scripts["openssl"] = NO_PROGRAM
    with FakePhone(scripts=scripts) as phone, open_target(phone.target) as target:
        ContentStore(target).place(file)
        ContentStore(target).place(file)
        assert phone.traffic.pushed_bytes == SIZE


def test_a_file_that_is_not_here_is_told(target: Target, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        ContentStore(target).place(tmp_path / "absent")


def test_content_that_is_there_is_not_read_here_when_its_hash_is_known(
    target: Target, file: Path
) -> None:
    known = sha256_of(file)
    first = ContentStore(target).place(file, sha256=known)
    file.write_bytes(b"\x00" * SIZE)

    assert ContentStore(target).place(file, sha256=known) == first
    assert target.check(["sha256sum", str(first)]).stdout.split()[0].decode() == known


def test_a_file_that_is_not_what_its_hash_says_never_gets_a_name(
    target: Target, file: Path
) -> None:
    stale = "0" * 64

    with pytest.raises(PushVerificationError, match=stale) as failure:
        ContentStore(target).place(file, sha256=stale)

    assert "has changed" in str(failure.value.remedy)
    assert target.stat(target.workspace / "store" / stale / file.name) is None
