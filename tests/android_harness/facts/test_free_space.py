"""Free space, from what `df` prints on devices of every age."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.free_space import parse_free_bytes, read_free_bytes
from android_harness.fake_phone import FakePhone
from android_harness.target import Target
from android_harness.targets.open_target import open_target

OUTPUTS = {
    "toybox": """\
Filesystem      1K-blocks     Used Available Use% Mounted on
/dev/block/dm-5 112882668 31415926  81335670  28% /data
""",
    "busybox": """\
Filesystem           1K-blocks      Used Available Use% Mounted on
/dev/disk/by-uuid/0b7c1c8e-4e1f-4d3c-9d44-2f1f1f7c1a1b
                     112882668  31415926  81335670  28% /data
""",
    "coreutils": """\
Filesystem     1K-blocks     Used Available Use% Mounted on
/dev/vda       112882668 31415926  81335670  28% /
""",
    "toolbox": """\
-k: No such file or directory
Filesystem               Size     Used     Free   Blksize
/data                  107.7G    30.0G    77.6G   4096
""",
}


@pytest.mark.parametrize(
    ("program", "free"),
    [
        ("toybox", 81335670 * 1024),
        ("busybox", 81335670 * 1024),
        ("coreutils", 81335670 * 1024),
        ("toolbox", int(77.6 * 2**30)),
    ],
)
def test_what_is_free_is_read(program: str, free: int) -> None:
    assert parse_free_bytes(OUTPUTS[program]) == free


@pytest.mark.parametrize("output", ["", "df: not found", "Filesystem Size Used Free", "- 100% -"])
def test_what_cannot_be_read_is_unknown(output: str) -> None:
    assert parse_free_bytes(output) is None


@given(
    st.text()
    | st.lists(st.sampled_from(["Free", "5%", "8.6G", "/data", "\n", "12", "x"])).map(" ".join)
)
def test_no_output_is_too_odd(output: str) -> None:
    free = parse_free_bytes(output)
    assert free is None or free >= 0


def test_devices_tell_what_is_free_where_a_folder_will_be(target: Target) -> None:
    free = read_free_bytes(target, target.workspace / "not" / "there")
    assert free is not None
    assert free > 0


def test_a_device_without_df_does_not_tell(private_home: None) -> None:
    with (
        FakePhone(scripts={"df": "#!/bin/sh\nexit 127\n"}) as phone,
        open_target(phone.target) as target,
    ):
        assert read_free_bytes(target, target.workspace) is None
