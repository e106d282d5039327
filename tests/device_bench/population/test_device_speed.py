"""What makes a device faster makes it faster in the model too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.cpu import CpuCluster
from android_harness.facts.device_facts import DeviceFacts, parse_device_facts
from android_harness.facts.micro_architecture import kind_of
from device_bench.errors import PopulationError
from device_bench.population.core_designs import core_design
from device_bench.population.device_speed import device_speed
from device_bench.population.phone_classes import phone_classes

DESIGNS = ("Cortex-A53", "Cortex-A55", "Cortex-A73", "Cortex-A76", "Cortex-X1", "unheard of")

clusters = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from(DESIGNS), st.integers(300_000, 4_000_000)),
    min_size=1,
    max_size=3,
)


def phone(
    layout: list[tuple[int, str, int | None]], features: tuple[str, ...] = ("asimd",)
) -> DeviceFacts:
    return parse_device_facts("").model_copy(
        update={
            "clusters": tuple(
                CpuCluster(
                    cores=tuple(range(count)),
                    micro_architecture=design,
                    kind=kind_of(design),
                    max_frequency_khz=khz,
                )
                for count, design, khz in layout
            ),
            "common_features": features,
        }
    )


@given(clusters, st.integers(0, 2), st.floats(1, 3))
def test_a_faster_clock_never_slows_a_device(
    layout: list[tuple[int, str, int]], which: int, factor: float
) -> None:
    faster = list(layout)
    count, design, khz = faster[which % len(layout)]
    faster[which % len(layout)] = (count, design, round(khz * factor))

    before, after = (device_speed(phone(each), "int8").per_second for each in (layout, faster))
    assert after >= before


@given(clusters, st.integers(0, 2), st.integers(1, 4))
def test_more_cores_never_slow_a_device(
    layout: list[tuple[int, str, int]], which: int, more: int
) -> None:
    larger = list(layout)
    count, design, khz = larger[which % len(layout)]
    larger[which % len(layout)] = (count + more, design, khz)

    before, after = (device_speed(phone(each), "int8").per_second for each in (layout, larger))
    assert after >= before


@given(clusters, st.integers(1, 24))
def test_a_given_number_of_threads_is_never_faster_than_all_cores_could_be(
    layout: list[tuple[int, str, int]], threads: int
) -> None:
    cores = sum(count for count, _, _ in layout)
    speeds = [
        device_speed(phone(layout), "int8", threads=each).per_second for each in range(1, cores + 1)
    ]
    given_threads = device_speed(phone(layout), "int8", threads=threads)
    assert given_threads.per_second <= max(speeds)
    assert given_threads.threads == threads


def test_n_cores_do_n_times_what_the_slowest_does() -> None:
    facts = phone([(4, "Cortex-A715", 2_000_000), (1, "Cortex-X3", 3_000_000)])
    five = device_speed(facts, "float32")
    # 256 bits a cycle: 8 multiply-accumulates of 32 bits.
    assert (five.threads, five.per_second) == (5, 5 * 2e9 * 8)
    assert device_speed(facts, "float32", threads=1).per_second == 3e9 * 16


def test_efficiency_cores_are_left_out_where_there_are_others() -> None:
    facts = phone([(6, "Cortex-A53", 1_500_000), (2, "Cortex-A73", 2_000_000)])
    assert device_speed(facts, "int8").threads == 2
    assert device_speed(phone([(8, "Cortex-A53", 1_500_000)]), "int8").threads == 8


@pytest.mark.parametrize(
    ("features", "times"), [((), 1), (("asimddp",), 4), (("asimddp", "i8mm"), 8)]
)
def test_8_bit_products_gain_from_what_the_cores_have(
    features: tuple[str, ...], times: int
) -> None:
    plain = core_design("Cortex-A76", (), "int8").per_cycle
    assert core_design("Cortex-A76", features, "int8").per_cycle == times * plain
    assert core_design("Cortex-A76", features, "float32").per_cycle == plain


def test_x86_is_known_by_its_features() -> None:
    wide = core_design(None, ("sse2", "avx2", "avx512f"), "float32")
    assert (
        wide.known and wide.per_cycle == 4 * core_design(None, ("sse2", "avx"), "float32").per_cycle
    )
    assert not core_design("unheard of", ("asimd",), "int8").known


def test_a_clock_that_is_not_told_is_assumed_and_said_so() -> None:
    facts = phone([(4, "Cortex-A53", 1_440_000), (2, "Cortex-A57", None)])
    found = device_speed(facts, "int8")
    assert (found.threads, found.clock_khz, found.clock_source) == (2, 1_440_000, "assumed")
    told = device_speed(facts, "int8", clock_khz=2e6)
    assert (told.clock_khz, told.clock_source) == (2e6, "given")


def test_a_device_that_tells_too_little_is_refused() -> None:
    with pytest.raises(PopulationError, match="how its cores are clocked"):
        device_speed(phone([(4, "Cortex-A53", None)]), "int8")
    with pytest.raises(PopulationError, match="its cores"):
        device_speed(parse_device_facts(""), "int8")


def test_every_class_of_phones_has_a_speed_and_a_memory() -> None:
    classes = phone_classes()
    speeds = {name: device_speed(facts, "int8").per_second for name, facts in classes.items()}
    assert speeds["entry-2015"] == min(speeds.values())
    assert speeds["high-2024"] == max(speeds.values())
    assert all(facts.memory_total_bytes and facts.cpu_count for facts in classes.values())
