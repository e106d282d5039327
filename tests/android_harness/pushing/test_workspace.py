"""What lies on a device is listed, and goes only when it is chosen and nothing runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import DeviceInUseError
from android_harness.fake_phone import FakePhone
from android_harness.pushing.content_store import ContentStore
from android_harness.pushing.workspace import (
    Entry,
    list_workspace,
    parse_entries,
    remove_entries,
    unwanted,
)
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from tests.android_harness.waiting import PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

DAY_S = 24 * 3600


@pytest.fixture
def device(phone: FakePhone) -> Iterator[Target]:
    with open_target(phone.target, timeouts=PATIENT) as target:
        yield target


def make(target: Target, path: str, *, size: int = 10, age_s: float = 0) -> Path:
    """A file in the target's workspace that was last used some time ago."""
    file = Path(target.workspace / path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    then = time.time() - age_s
    os.utime(file, (then, then))
    os.utime(file.parent, (then, then))
    return file


def listed(target: Target) -> dict[str, Entry]:
    return {str(entry.path): entry for entry in list_workspace(target)}


def test_an_untouched_device_has_nothing(device: Target) -> None:
    assert list_workspace(device) == []


def test_everything_is_listed_with_its_size_and_last_use(device: Target, tmp_path: Path) -> None:
    weights = tmp_path / "odd name.gguf"
    weights.write_bytes(bytes(300_000))
    ContentStore(device).place(weights)
    make(device, "incoming/abc", age_s=3 * DAY_S)
    make(device, "runs/r1/records.jsonl", age_s=2 * DAY_S)
    make(device, "state/values.bin", age_s=DAY_S)

    found = listed(device)

    stored = found[f"store/{sha256_of(weights)}"]
    assert stored.files == ("odd name.gguf",)
    assert stored.size is not None
    assert stored.size >= 300_000
    days = {path: round((entry.idle_s or 0) / DAY_S) for path, entry in found.items()}
    assert days == {str(stored.path): 0, "incoming/abc": 3, "runs/r1": 2, "state/values.bin": 1}
    assert not any(entry.live for entry in found.values())


def test_using_a_file_again_makes_it_young(device: Target, tmp_path: Path) -> None:
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(bytes(1000))
    path = Path(ContentStore(device).place(weights))
    os.utime(path.parent, (0, 0))
    assert unwanted(list_workspace(device), unused_days=30)

    ContentStore(device).place(weights)

    assert not unwanted(list_workspace(device), unused_days=30)


def test_old_entries_go_and_kept_and_young_ones_stay(device: Target) -> None:
    make(device, "store/old/a", age_s=10 * DAY_S)
    make(device, "store/wanted/b", age_s=10 * DAY_S)
    make(device, "store/young/c", age_s=DAY_S)

    remove_entries(device, unwanted(list_workspace(device), unused_days=7, keep={"wanted"}))

    assert set(listed(device)) == {"store/wanted", "store/young"}


def test_all_means_all(device: Target) -> None:
    for path in ("store/a/x", "incoming/b", "runs/c/job/job.json", "state/d"):
        make(device, path, age_s=DAY_S)

    remove_entries(device, unwanted(list_workspace(device)))

    assert list_workspace(device) == []


def test_content_that_is_on_its_way_stays(device: Target) -> None:
    make(device, "incoming/abc")

    assert listed(device)["incoming/abc"].live
    assert not unwanted(list_workspace(device))


@pytest.mark.parametrize("file", ["pid", "supervisor"])
def test_while_a_run_lives_nothing_goes(device: Target, file: str) -> None:
    make(device, "store/a/x")
    process = subprocess.Popen(["sleep", "60"])
    make(device, f"runs/r1/{file}").write_text(f"{process.pid} 123 boot\n")
    try:
        assert listed(device)["runs/r1"].live
        with pytest.raises(DeviceInUseError):
            remove_entries(device, unwanted(list_workspace(device)))
        assert "store/a" in listed(device)
    finally:
        process.kill()
        process.wait()

    assert not listed(device)["runs/r1"].live
    remove_entries(device, unwanted(list_workspace(device)))
    assert list_workspace(device) == []


@pytest.mark.parametrize("shell", ["mksh", "busybox"])
def test_other_shells_and_programs_list_the_same(shell: str, private_home: None) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    if shell == "mksh":
        scripts = {"sh": '#!/bin/dash\nexec mksh "$@"\n'}
    else:
        programs = ("stat", "du", "date", "rm")
        scripts = {name: f'#!/bin/dash\nexec busybox {name} "$@"\n' for name in programs}
        scripts["sh"] = '#!/bin/dash\nexec busybox sh "$@"\n'
    with FakePhone(scripts=scripts) as phone, open_target(phone.target) as target:
        make(target, "store/a/x y", age_s=2 * DAY_S)
        found = listed(target)["store/a"]
        assert found.files == ("x y",)
        assert round((found.idle_s or 0) / DAY_S) == 2
        remove_entries(target, unwanted(list_workspace(target)))
        assert list_workspace(target) == []


def test_a_device_that_tells_neither_time_nor_size_is_cleaned_of_all_alone(
    private_home: None,
) -> None:
    nothing = "#!/bin/sh\nexit 127\n"
    with (
        FakePhone(scripts={"stat": nothing, "du": nothing}) as phone,
        open_target(phone.target) as target,
    ):
        make(target, "store/a/x")
        entry = listed(target)["store/a"]
        assert (entry.size, entry.idle_s) == (None, None)
        assert not unwanted([entry], unused_days=1)
        assert unwanted([entry]) == [entry]


@given(
    st.text()
    | st.lists(
        st.sampled_from(["17\n", "entry/", "1/", "/live/", "store/a", "name/x", "\n", ".."])
    ).map("".join)
)
def test_no_listing_is_too_odd(output: str) -> None:
    for entry in parse_entries(output):
        assert entry.path.parts[1:] == (entry.name,)
        assert entry.name not in ("", ".", "..")
