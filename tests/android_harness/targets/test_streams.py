"""Output that arrives while its command runs, and what state a target is in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import (
    CommandFailedError,
    DeviceGoneError,
    DeviceTimeoutError,
    MissingProgramError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.target import Target, whole_lines
from android_harness.targets.open_target import open_target
from tests.android_harness.waiting import HASTY, PATIENT, ends_soon

pytestmark = pytest.mark.usefixtures("private_home")


def test_output_arrives_while_the_command_runs(target: Target) -> None:
    # The command goes on only once its first line has been answered.
    flag = target.workspace / "flag"
    target.check(["mkdir", "-p", str(target.workspace)])
    target.check(["rm", "-f", str(flag)])
    script = f"echo first; while [ ! -e {flag} ]; do sleep 0.02; done; echo second"
    with target.stream(["sh", "-c", script]) as pieces:
        lines = whole_lines(pieces)
        assert next(lines) == b"first"
        target.check(["touch", str(flag)])
        assert list(lines) == [b"second"]


def test_a_stream_ends_with_a_look_at_the_exit_code(target: Target) -> None:
    with target.stream(["sh", "-c", "head -c 200000 /dev/zero"]) as pieces:
        assert b"".join(pieces) == bytes(200_000)
    with target.stream(["sh", "-c", "echo out; echo why >&2; exit 3"]) as pieces:
        assert next(pieces) == b"out\n"
        with pytest.raises(CommandFailedError, match="exit code 3, why"):
            next(pieces)
    with (
        pytest.raises(MissingProgramError, match="no-such-program"),
        target.stream(["no-such-program"]) as pieces,
    ):
        list(pieces)


def test_a_stream_that_is_left_early_leaves_the_target_usable(target: Target) -> None:
    with target.stream(["sh", "-c", "while :; do echo again; sleep 0.02; done"]) as pieces:
        next(pieces)
    with (
        pytest.raises(RuntimeError),
        target.stream(["sh", "-c", "echo one; sleep 60"]) as pieces,
    ):
        next(pieces)
        raise RuntimeError
    assert target.run(["echo", "on"]).stdout == b"on\n"


def test_a_stream_that_takes_too_long_times_out(target: Target) -> None:
    with (
        pytest.raises(DeviceTimeoutError, match="sleep 60"),
        target.stream(["sh", "-c", "echo one; sleep 60"], timeout_s=0.5) as pieces,
    ):
        list(pieces)
    assert target.run(["echo", "on"]).stdout == b"on\n"


def test_leaving_a_stream_kills_its_program_on_this_machine() -> None:
    with (
        open_target("local") as target,
        target.stream(["sh", "-c", "echo $$; sleep 60 & wait"]) as pieces,
    ):
        process = int(next(pieces))
    assert ends_soon(process)


@pytest.mark.parametrize("fault", [Faults(omit_exit_packet=True), Faults(vanish_at_exit=True)])
def test_a_stream_without_an_exit_code_is_gone(phone: FakePhone, fault: Faults) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = fault
        with (
            pytest.raises(DeviceGoneError, match="echo whole"),
            target.stream(["echo", "whole"]) as pieces,
        ):
            assert list(pieces) == [b"whole\n"]


def test_a_target_tells_its_state(phone: FakePhone) -> None:
    with open_target("local") as here, open_target(phone.target, timeouts=HASTY) as target:
        assert here.state() == "device"
        assert target.state() == "device"
        phone.faults = Faults(never_authorize=True)
        phone.drop_connections()
        target.state()  # may still meet the connection that ends
        assert target.state() == "unauthorized"
        phone.faults = Faults(stall_after_bytes=0)
        assert target.state() == "silent"
        phone.switch_off()
        assert target.state() == "absent"


@given(st.lists(st.binary()))
def test_lines_are_the_same_however_the_pieces_break(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    def arriving() -> Iterator[bytes]:
        yield from pieces

    assert list(whole_lines(arriving())) == expected
