"""Clusters of made-up phones, for what no recorded one has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.chips import layout_of
from android_harness.facts.cores_to_use import fastest_cores, fastest_cores_mask
from android_harness.facts.cpu import CpuCluster, find_clusters
from android_harness.facts.cpuinfo import parse_cpuinfo
from android_harness.facts.kernel_lists import as_kernel_list, parse_kernel_list
from android_harness.facts.micro_architecture import ArmIdentity

CPU = "/sys/devices/system/cpu"


def core(number: int, part: int, *, implementer: int = 0x41, variant: int = 0) -> str:
    return (
        f"processor\t: {number}\nFeatures\t: fp asimd asimddp\n"
        f"CPU implementer\t: {implementer:#x}\nCPU architecture: 8\n"
        f"CPU variant\t: {variant:#x}\nCPU part\t: {part:#05x}\nCPU revision\t: 1\n\n"
    )


def clusters_of(cpuinfo: str, files: dict[str, str]) -> list[tuple[tuple[int, ...], str | None]]:
    found = find_clusters(
        {f"{CPU}/{name}": text for name, text in files.items()},
        parse_cpuinfo(cpuinfo),
        soc=None,
        layout=(),
    )
    return [(cluster.cores, cluster.micro_architecture) for cluster in found]


def test_hidden_frequencies_leave_the_designs() -> None:
    parts = [0xD80] * 2 + [0xD81] * 5 + [0xD82]
    cpuinfo = "".join(core(number, part) for number, part in enumerate(parts))
    # As newer kernels, which put all cores of a chip into one package.
    siblings = {f"cpu{number}/topology/core_siblings_list": "0-7" for number in range(8)}

    assert clusters_of(cpuinfo, {"present": "0-7", **siblings}) == [
        ((0, 1), "Cortex-A520"),
        ((2, 3, 4, 5, 6), "Cortex-A720"),
        ((7,), "Cortex-X4"),
    ]


def test_capacity_comes_before_frequency() -> None:
    cpuinfo = core(0, 0xD05) + core(1, 0xD0B)
    files = {
        "present": "0-1",
        "cpu0/cpufreq/related_cpus": "0",
        "cpu0/cpufreq/cpuinfo_max_freq": "2500000",
        "cpu0/cpu_capacity": "1024",
        "cpu1/cpufreq/related_cpus": "1",
        "cpu1/cpufreq/cpuinfo_max_freq": "2000000",
        "cpu1/cpu_capacity": "500",
    }

    assert clusters_of(cpuinfo, files)[-1] == ((0,), "Cortex-A55")
    del files["cpu1/cpu_capacity"]
    assert clusters_of(cpuinfo, files)[-1] == ((1,), "Cortex-A76")


def test_cores_that_are_off_are_found_by_their_policy() -> None:
    files = {
        "present": "0-5",
        "online": "0-3",
        "cpufreq/policy0/related_cpus": "0 1 2 3",
        "cpufreq/policy4/related_cpus": "4 5",
    }
    cpuinfo = "".join(core(number, 0xD05) for number in range(4))

    assert clusters_of(cpuinfo, files) == [((0, 1, 2, 3), "Cortex-A55"), ((4, 5), None)]


def test_a_core_knows_itself_by_its_register_where_cpuinfo_hides_it() -> None:
    files = {
        "present": "0-1",
        "cpu0/cpufreq/related_cpus": "0-1",
        "cpu1/regs/identification/midr_el1": "0x00000000517f803c",
    }

    assert clusters_of("", files) == [((0, 1), "Kryo 3xx Silver")]
    (found,) = find_clusters(
        {f"{CPU}/{name}": text for name, text in files.items()},
        parse_cpuinfo(""),
        soc=None,
        layout=(),
    )
    assert found.sources["micro_architecture"] == "cpu*/regs/identification"


def test_cores_that_are_off_and_hidden_are_not_taken_for_others() -> None:
    cpuinfo = core(0, 0xD05) + core(1, 0xD05) + core(2, 0xD0B)

    assert clusters_of(cpuinfo, {"present": "0-4"}) == [
        ((0, 1), "Cortex-A55"),
        ((2,), "Cortex-A76"),
        ((3, 4), None),
    ]
    one_package = {f"cpu{number}/topology/core_siblings_list": "0-4" for number in range(5)}
    assert ((3, 4), None) in clusters_of(cpuinfo, {"present": "0-4", **one_package})


def test_one_block_for_all_cores_is_nobodys_where_two_clusters_run() -> None:
    cpuinfo = (
        "Processor\t: AArch64 Processor rev 2 (aarch64)\n"
        + "".join(f"processor\t: {number}\n" for number in range(8))
        + "CPU implementer\t: 0x41\nCPU part\t: 0xd03\n\nHardware\t: a chip nobody knows\n"
    )
    files = {
        "present": "0-7",
        "online": "0-7",
        "cpu0/cpufreq/related_cpus": "0-3",
        "cpu4/cpufreq/related_cpus": "4-7",
    }

    assert clusters_of(cpuinfo, files) == [((0, 1, 2, 3), None), ((4, 5, 6, 7), None)]
    files["online"] = "0-3"
    assert clusters_of(cpuinfo, files) == [((0, 1, 2, 3), "Cortex-A53"), ((4, 5, 6, 7), None)]


def test_a_chip_table_that_contradicts_the_device_is_not_believed() -> None:
    cpuinfo = core(0, 0xD05) + core(1, 0xD05)
    files = {
        f"{CPU}/present": "0-3",
        f"{CPU}/cpu0/cpufreq/related_cpus": "0 1",
        f"{CPU}/cpu2/cpufreq/related_cpus": "2 3",
    }
    found = find_clusters(
        files,
        parse_cpuinfo(cpuinfo),
        soc="Qualcomm MSM8994",
        layout=layout_of("Qualcomm MSM8994"),
    )

    assert [cluster.micro_architecture for cluster in found] == ["Cortex-A55", None]


def test_instruction_sets_that_only_some_cores_have() -> None:
    cpuinfo = core(0, 0xD46) + core(1, 0xD4E).replace("asimddp", "asimddp sme2")
    info = parse_cpuinfo(cpuinfo)
    found = find_clusters({f"{CPU}/present": "0-1"}, info, soc=None, layout=())

    assert info.features == ("fp", "asimd", "asimddp")
    assert [cluster.extra_features for cluster in found] == [(), ("sme2",)]


@pytest.mark.parametrize(
    ("implementer", "part", "variant", "name"),
    [
        (0x41, 0xD85, 0, "Cortex-X925"),
        (0x41, 0xD87, 0, "Cortex-A725"),
        (0x41, 0xD8A, 0, "C1-Nano"),
        (0x41, 0xD8B, 0, "C1-Pro"),
        (0x41, 0xD8C, 0, "C1-Ultra"),
        (0x41, 0xD90, 0, "C1-Premium"),
        (0x51, 0x001, 3, "Oryon"),
        (0x53, 0x001, 1, "Exynos M1"),
        (0x53, 0x001, 4, "Exynos M2"),
        (0x53, 0x002, 1, "Exynos M3"),
        (0x4E, 0x003, 0, "Denver 2"),
        (0x48, 0xD40, 1, "Cortex-A76"),
        (0x56, 0x584, 0, "PJ4B"),
    ],
)
def test_designs_of_all_makers(implementer: int, part: int, variant: int, name: str) -> None:
    identity = ArmIdentity.from_midr(implementer << 24 | variant << 20 | 0xF << 16 | part << 4)

    assert identity.micro_architecture is not None
    assert identity.micro_architecture.name == name
    assert clusters_of(
        core(0, part, implementer=implementer, variant=variant), {"present": "0"}
    ) == [((0,), name)]


def test_an_unknown_design_is_shown_by_its_numbers() -> None:
    (cluster,) = find_clusters(
        {f"{CPU}/present": "0"}, parse_cpuinfo(core(0, 0xFFE)), soc=None, layout=()
    )

    assert cluster.micro_architecture is None
    assert cluster.identity == "implementer 0x41 part 0xffe r0p1"


def cluster(
    *cores: int, kind: str | None = None, khz: int | None = None, capacity: int | None = None
) -> CpuCluster:
    return CpuCluster.model_validate(
        {"cores": cores, "kind": kind, "max_frequency_khz": khz, "capacity": capacity}
    )


@pytest.mark.parametrize(
    ("clusters", "mask"),
    [
        ([], None),
        ([cluster(0, 1, 2, 3)], "0xf"),
        # Efficiency cores never, the middle ones where they help.
        (
            [
                cluster(0, 1, kind="efficiency", capacity=300),
                cluster(2, 3, 4, 5, 6, kind="performance", capacity=800),
                cluster(7, kind="prime", capacity=1024),
            ],
            "0xfc",
        ),
        # One middle core at 0.45 of the speed would slow the four fast ones down.
        ([cluster(0, kind="performance", khz=900), cluster(1, 2, 3, 4, khz=2000)], "0x1e"),
        # Clusters of one design: all but where the slower ones are too slow.
        ([cluster(0, 1, khz=1400), cluster(2, 3, khz=2000)], "0xf"),
        ([cluster(0, 1, khz=900), cluster(2, 3, khz=2000)], "0xc"),
        # How fast the first cluster is cannot be known.
        ([cluster(0, 1), cluster(2, 3, khz=2000)], "0xc"),
    ],
)
def test_cores_to_start_with(clusters: list[CpuCluster], mask: str | None) -> None:
    assert fastest_cores_mask(clusters) == mask


@given(st.sets(st.integers(0, 300), min_size=1))
def test_kernel_lists_go_there_and_back(numbers: set[int]) -> None:
    ordered = tuple(sorted(numbers))

    assert parse_kernel_list(as_kernel_list(ordered)) == ordered
    assert parse_kernel_list(" ".join(map(str, ordered)) + "\n") == ordered


@given(st.text(max_size=40))
def test_no_text_breaks_the_list_parser(text: str) -> None:
    numbers = parse_kernel_list(text)
    assert list(numbers) == sorted(set(numbers))


@given(st.text(max_size=200))
def test_no_text_breaks_the_cpuinfo_parser(text: str) -> None:
    info = parse_cpuinfo(text)
    assert info.identities.keys() <= set(info.cores)


@given(
    st.lists(
        st.builds(
            cluster,
            st.integers(0, 63),
            kind=st.sampled_from([None, "efficiency", "performance", "prime"]),
            khz=st.one_of(st.none(), st.integers(1, 4_000_000)),
            capacity=st.one_of(st.none(), st.integers(1, 1024)),
        ),
        unique_by=lambda made: made.cores,
    )
)
def test_some_core_is_always_to_start_with(clusters: list[CpuCluster]) -> None:
    chosen = fastest_cores(clusters)
    assert bool(chosen) == bool(clusters)
    if clusters:
        assert clusters[-1].kind == "efficiency" or set(clusters[-1].cores) <= set(chosen)
