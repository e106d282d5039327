"""Threads and cores by name, as what a device has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.cpu import CpuCluster
from android_harness.facts.device_facts import DeviceFacts, parse_device_facts
from device_bench.errors import SweepSettingsError
from device_bench.plans.cores import placements_on
from device_bench.plans.sweep_plan import cores_in

UNKNOWN = parse_device_facts("")


def phone(*clusters: tuple[str | None, int]) -> DeviceFacts:
    """A phone with these kinds of clusters and numbers of cores, slowest first."""
    made, first = [], 0
    for number, (kind, count) in enumerate(clusters):
        cores = tuple(range(first, first + count))
        made.append(CpuCluster(cores=cores, kind=kind, max_frequency_khz=1_000_000 * (1 + number)))
        first += count
    return UNKNOWN.model_copy(update={"clusters": tuple(made), "cpu_count": first})


PHONE = phone(("efficiency", 4), ("performance", 3), ("prime", 1))


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("any", None),
        ("0xF0", "0xf0"),
        ("efficiency", "0xf"),
        ("performance", "0x70"),
        ("prime", "0x80"),
        ("big", "0xf0"),
        ("fastest", "0xf0"),
    ],
)
def test_a_name_is_a_mask_of_the_devices_cores(name: str, mask: str | None) -> None:
    assert placements_on(PHONE, [1], [name]).pairs == ((1, mask),)


def test_every_combination_that_makes_sense_is_there_once() -> None:
    placements = placements_on(PHONE, [1, 4, "cores"], ["big", "fastest", "prime"])

    assert placements.pairs == ((1, "0xf0"), (4, "0xf0"), (1, "0x80"))
    assert placements.left_out == ("4 threads on prime: more than its cores (1)",)


@pytest.mark.parametrize(
    ("facts", "threads", "name", "said"),
    [
        (phone(("performance", 4)), 1, "prime", "cores prime: the device tells of none"),
        (phone((None, 4), ("prime", 1)), 1, "big", "cores big: the device tells of none"),
        (UNKNOWN, 1, "fastest", "cores fastest: the device tells of none"),
        (PHONE, 1, "0x100", "cores 0x100: the device has 0xff"),
        (PHONE, 9, "0xff", "9 threads on 0xff"),
        (UNKNOWN, "cores", "any", "does not tell how many it has"),
    ],
)
def test_what_the_device_has_not_is_left_out_and_said(
    facts: DeviceFacts, threads: int | str, name: str, said: str
) -> None:
    left = placements_on(facts, [1, threads], ["any", name])
    assert (1, None) in left.pairs
    assert any(said in reason for reason in left.left_out)

    with pytest.raises(SweepSettingsError, match="the device can do none"):
        placements_on(facts, [threads], [name])


@pytest.mark.parametrize("name", ["", "f0", "0x0", "0xg", "little", "Fastest"])
def test_what_is_no_name_of_cores_is_refused(name: str) -> None:
    with pytest.raises(SweepSettingsError, match="cores cannot be"):
        placements_on(PHONE, [1], [name, "any"])


@given(
    clusters=st.lists(
        st.tuples(st.sampled_from(["efficiency", "performance", "prime", None]), st.integers(1, 4)),
        min_size=1,
        max_size=3,
    ),
    threads=st.lists(st.integers(1, 16) | st.just("cores"), min_size=1, max_size=4),
    cores=st.lists(
        st.sampled_from(["any", "fastest", "big", "prime", "performance", "efficiency", "0x3"]),
        min_size=1,
    ),
)
def test_there_are_never_more_threads_than_cores(clusters, threads, cores) -> None:
    facts = phone(*clusters)
    try:
        placements = placements_on(facts, threads, cores)
    except SweepSettingsError:
        return
    assert len(set(placements.pairs)) == len(placements.pairs)
    for count, mask in placements.pairs:
        assert 1 <= count <= (cores_in(mask) or facts.cpu_count)
