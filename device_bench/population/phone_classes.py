"""Classes of phones, by the chips that made them: public facts, for whoever has no phones.

No phone of a class was looked at. Memory is what most phones with the chip were sold with.
"""

from __future__ import annotations

from android_harness.facts.cpu import CpuCluster
from android_harness.facts.device_facts import DeviceFacts
from android_harness.facts.micro_architecture import kind_of

_SOURCE = "phone classes"
_ARMV8 = ("asimd",)
_ARMV82 = (*_ARMV8, "asimdhp", "asimddp")
_ARMV9 = (*_ARMV82, "i8mm", "bf16")

# (name, chip, GiB of memory, features that all cores have, clusters from the slowest as
# (cores, design, highest kHz))
_Clusters = tuple[tuple[int, str, int], ...]
_CLASSES: tuple[tuple[str, str, int, tuple[str, ...], _Clusters], ...] = (
    ("entry-2015", "Qualcomm MSM8916", 2, _ARMV8, ((4, "Cortex-A53", 1_209_600),)),
    ("mid-2017", "Qualcomm MSM8953", 3, _ARMV8, ((8, "Cortex-A53", 2_016_000),)),
    (
        "high-2017",
        "Qualcomm MSM8998",
        4,
        _ARMV8,
        ((4, "Kryo 2xx Silver", 1_900_800), (4, "Kryo 2xx Gold", 2_457_600)),
    ),
    (
        "high-2018",
        "Qualcomm SDM845",
        6,
        (*_ARMV8, "asimdhp"),
        ((4, "Kryo 3xx Silver", 1_766_400), (4, "Kryo 3xx Gold", 2_803_200)),
    ),
    (
        "mid-2019",
        "Qualcomm SM6125",
        4,
        _ARMV8,
        ((4, "Kryo 2xx Silver", 1_804_800), (4, "Kryo 2xx Gold", 2_016_000)),
    ),
    (
        "high-2020",
        "Qualcomm SM8250",
        8,
        _ARMV82,
        (
            (4, "Cortex-A55", 1_804_800),
            (3, "Cortex-A77", 2_419_200),
            (1, "Cortex-A77", 2_841_600),
        ),
    ),
    (
        "mid-2021",
        "MediaTek MT6833",
        6,
        _ARMV82,
        ((6, "Cortex-A55", 2_000_000), (2, "Cortex-A76", 2_200_000)),
    ),
    (
        "high-2022",
        "Qualcomm SM8450",
        8,
        _ARMV9,
        (
            (4, "Cortex-A510", 1_785_600),
            (3, "Cortex-A710", 2_496_000),
            (1, "Cortex-X2", 2_995_200),
        ),
    ),
    (
        "mid-2023",
        "Samsung Exynos 1380",
        6,
        _ARMV82,
        ((4, "Cortex-A55", 2_000_000), (4, "Cortex-A78", 2_400_000)),
    ),
    (
        "high-2023",
        "Google Tensor G3",
        8,
        _ARMV9,
        (
            (4, "Cortex-A510", 1_704_000),
            (4, "Cortex-A715", 2_367_000),
            (1, "Cortex-X3", 2_914_000),
        ),
    ),
    (
        "high-2024",
        "Qualcomm SM8650",
        12,
        _ARMV9,
        (
            (2, "Cortex-A520", 2_265_600),
            (2, "Cortex-A720", 2_956_800),
            (3, "Cortex-A720", 3_148_800),
            (1, "Cortex-X4", 3_302_400),
        ),
    ),
)


def phone_classes() -> dict[str, DeviceFacts]:
    """The facts of each class, by its name."""
    return {
        name: _facts(name, chip, memory << 30, features, clusters)
        for name, chip, memory, features, clusters in _CLASSES
    }


def _facts(
    name: str, chip: str, memory: int, features: tuple[str, ...], layout: _Clusters
) -> DeviceFacts:
    clusters, first = [], 0
    for count, design, khz in layout:
        clusters.append(
            CpuCluster(
                cores=tuple(range(first, first + count)),
                micro_architecture=design,
                kind=kind_of(design),
                max_frequency_khz=khz,
            )
        )
        first += count
    return DeviceFacts(
        manufacturer=None,
        model=f"class {name}",
        soc=chip,
        os="android",
        os_release=None,
        android_sdk=None,
        build_fingerprint=None,
        kernel=None,
        abi="arm64-v8a",
        abis=("arm64-v8a",),
        cpu_count=first,
        cpu_model=None,
        cpu_features=(),
        memory_total_bytes=memory,
        page_size_bytes=None,
        clusters=tuple(clusters),
        common_features=features,
        sources={name: _SOURCE for name in ("soc", "clusters", "memory_total_bytes")},
    )
