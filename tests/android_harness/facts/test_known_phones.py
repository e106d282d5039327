"""What 41 real phones are: expectations from what is known of their chips, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from android_harness.facts.device_facts import DeviceFacts
from android_harness.fake_phone.recorded_facts import recorded_facts

A53, A7, A57, A72, A73 = "Cortex-A53", "Cortex-A7", "Cortex-A57", "Cortex-A72", "Cortex-A73"

# name: (chip, clusters from the slowest as (cores, design, highest kHz), cores to start with).
# A frequency of None is that of cores that were off while the phone was recorded.
PHONES: dict[str, tuple[str, list[tuple[int, str, int | None]], str]] = {
    "alcatel-revvl": ("MediaTek MT6738", [(1, A53, None), (4, A53, 1508000)], "0xf0"),
    "atm7029b-tablet": ("Actions ATM7029", [(4, "Cortex-A5", 1320000)], "0xf"),
    "galaxy-a3-2016-eu": ("Samsung Exynos 7580", [(4, A53, 1500000)], "0xf"),
    "galaxy-a8-2018": ("Samsung Exynos 7885", [(6, A53, 1586000), (2, A73, 2184000)], "0xc0"),
    "galaxy-grand-prime-value-edition": ("Spreadtrum SC7730SE", [(4, A7, 1300000)], "0xf"),
    "galaxy-j5": ("Qualcomm MSM8916", [(4, A53, 1190400)], "0xf"),
    "galaxy-j7-tmobile": ("Samsung Exynos 7580", [(4, A53, 1500000), (4, A53, 1500000)], "0xff"),
    "galaxy-s3-us": ("Qualcomm MSM8960", [(2, "Krait", 1512000)], "0x3"),
    "galaxy-s5-global": (
        "Samsung Exynos 5422",
        [(4, A7, 1300000), (4, "Cortex-A15", 1900000)],
        "0xf0",
    ),
    "galaxy-s6": ("Samsung Exynos 7420", [(4, A53, 1500000), (4, A57, 2100000)], "0xf0"),
    "galaxy-s7-us": ("Qualcomm MSM8996", [(2, "Kryo", 1593600), (2, "Kryo", 2150400)], "0xf"),
    "galaxy-s8-us": (
        "Qualcomm MSM8998",
        [(4, "Kryo 2xx Silver", 1900800), (4, "Kryo 2xx Gold", 2361600)],
        "0xf0",
    ),
    "galaxy-s9-us": (
        "Qualcomm SDM845",
        [(4, "Kryo 3xx Silver", 1766400), (4, "Kryo 3xx Gold", 2803200)],
        "0xf0",
    ),
    "galaxy-tab-3-lite": ("Spreadtrum SC7730S", [(4, A7, 1300000)], "0xf"),
    "huawei-ascend-p7": ("HiSilicon Kirin 910T", [(4, "Cortex-A9", 1795000)], "0xf"),
    "huawei-mate-10": ("HiSilicon Kirin 970", [(4, A53, 1844000), (4, A73, 2362000)], "0xf0"),
    "huawei-mate-8": ("HiSilicon Kirin 950", [(4, A53, 1805000), (4, A72, 2304000)], "0xf0"),
    "huawei-p20-pro": ("HiSilicon Kirin 970", [(4, A53, 1844000), (4, A73, 2362000)], "0xf0"),
    "huawei-p9-lite": ("HiSilicon Kirin 650", [(4, A53, 1709000), (4, A53, 2016000)], "0xff"),
    "leagoo-t5c": (
        "Spreadtrum SC9853I",
        [(4, "Airmont", 1872000), (4, "Airmont", 1872000)],
        "0xff",
    ),
    "lenovo-vibe-x2": ("MediaTek MT6595", [(4, A7, 1690000), (4, "Cortex-A17", None)], "0xf0"),
    "lg-optimus-g-pro": ("Qualcomm APQ8064", [(4, "Krait", 1728000)], "0xf"),
    "meizu-pro-6s": (
        "MediaTek MT6797T",
        [(4, A53, 1547000), (4, A53, 2002000), (2, A72, None)],
        "0x300",
    ),
    "memo-pad-7": ("Intel Atom Z3745", [(4, "Silvermont", 1862000)], "0xf"),
    "moto-g-gen1": ("Qualcomm MSM8926", [(4, A7, 1190400)], "0xf"),
    "moto-g-gen3": ("Qualcomm MSM8916", [(4, A53, 1363200)], "0xf"),
    "moto-g-gen5": ("Qualcomm MSM8937", [(4, A53, 1094400), (4, A53, 1401000)], "0xff"),
    "nexus10": ("Samsung Exynos 5250", [(2, "Cortex-A15", 1700000)], "0x3"),
    "nexus5x": ("Qualcomm MSM8992", [(4, A53, 1440000), (2, A57, None)], "0x30"),
    "nexus6p": ("Qualcomm MSM8994", [(4, A53, 1555200), (4, A57, None)], "0xf0"),
    "oneplus-3t": ("Qualcomm MSM8996pro", [(2, "Kryo", 2188800), (2, "Kryo", 2342400)], "0xf"),
    "oneplus-5t": (
        "Qualcomm MSM8998",
        [(4, "Kryo 2xx Silver", 1900800), (4, "Kryo 2xx Gold", 2457600)],
        "0xf0",
    ),
    "oppo-r15": ("MediaTek MT6771V/C", [(4, A53, 1989000), (4, A73, 1989000)], "0xf0"),
    # The family's name; the tablet does not tell which of its chips (an A33) it has.
    "padcod-10.1": ("Allwinner sun8i", [(4, A7, 1344000)], "0xf"),
    "pixel-8": (
        "Google Tensor G3",
        [(4, "Cortex-A510", 1704000), (4, "Cortex-A715", 2367000), (1, "Cortex-X3", 2914000)],
        "0x1f0",
    ),
    "pixel-xl": ("Qualcomm MSM8996pro", [(2, "Kryo", 1593600), (2, "Kryo", 2150400)], "0xf"),
    "xiaomi-mi-5c": ("Xiaomi Surge S1", [(4, A53, 1404000), (4, A53, 2158000)], "0xff"),
    "xiaomi-redmi-note-3": ("Qualcomm MSM8956", [(4, A53, 1401600), (2, A72, 1804800)], "0x30"),
    # Two clusters of four that share one clock.
    "xperia-c4-dual": ("MediaTek MT6752", [(8, A53, 1690000)], "0xff"),
    "zenfone-2": (
        "Intel Atom Z3580",
        [(2, "Silvermont", 2333000), (2, "Silvermont", 2333000)],
        "0xf",
    ),
    "zenfone-c": ("Intel Atom Z2520", [(4, "Saltwell", 1200000)], "0xf"),
}

# Their kernels tell of one core only, and the rest is from the table of chips.
FROM_THE_CHIP_TABLE = {
    "alcatel-revvl",
    "atm7029b-tablet",
    "galaxy-j7-tmobile",
    "galaxy-s6",
    "huawei-p9-lite",
    "lenovo-vibe-x2",
    "meizu-pro-6s",
    "nexus6p",
    "xiaomi-redmi-note-3",
}

DOT_PRODUCTS = {"pixel-8"}
HALF_PRECISION = {"pixel-8", "galaxy-s9-us"}


@pytest.fixture(scope="module")
def all_facts(shared_data: Path) -> dict[str, DeviceFacts]:
    folder = shared_data / "phones" / "proc_sys"
    return {path.stem: recorded_facts(path) for path in sorted(folder.glob("*.json"))}


def test_every_phone_is_in_the_table(all_facts: dict[str, DeviceFacts]) -> None:
    assert all_facts.keys() == PHONES.keys()
    assert len(PHONES) == 41


@pytest.mark.parametrize("name", sorted(PHONES))
def test_what_the_phone_is(name: str, all_facts: dict[str, DeviceFacts]) -> None:
    chip, clusters, mask = PHONES[name]
    facts = all_facts[name]

    assert facts.soc == chip
    assert [
        (len(cluster.cores), cluster.micro_architecture, cluster.max_frequency_khz)
        for cluster in facts.clusters
    ] == clusters
    assert facts.fastest_cores_mask == mask
    assert facts.cpu_count == sum(cores for cores, _, _ in clusters)
    assert sorted(core for cluster in facts.clusters for core in cluster.cores)[-1] < 10
    assert facts.emulator is False
    assert facts.memory_total_bytes is None  # the recordings have no /proc/meminfo


@pytest.mark.parametrize("name", sorted(PHONES))
def test_every_fact_says_where_it_is_from(name: str, all_facts: dict[str, DeviceFacts]) -> None:
    facts = all_facts[name]
    unsourced = {"sources", "os", "abi", "clusters", "accelerators"}
    known = {field for field, value in facts if value not in (None, ()) and field not in unsourced}
    assert known == facts.sources.keys()
    from_table = {
        source.startswith("chip table")
        for cluster in facts.clusters
        if (source := cluster.sources["micro_architecture"])
    }
    assert (True in from_table) == (name in FROM_THE_CHIP_TABLE)
    for cluster in facts.clusters:
        known = {
            field
            for field, value in cluster
            if value not in (None, ()) and field not in ("sources", "kind")
        }
        assert known == cluster.sources.keys()


@pytest.mark.parametrize("name", sorted(PHONES))
def test_instruction_sets(name: str, all_facts: dict[str, DeviceFacts]) -> None:
    facts = all_facts[name]

    assert facts.common_features and facts.cpu_features
    assert set(facts.common_features) <= set(facts.cpu_features)
    assert ("asimddp" in facts.common_features) == (name in DOT_PRODUCTS)
    assert ("asimdhp" in facts.common_features) == (name in HALF_PRECISION)
    assert all(cluster.extra_features == () for cluster in facts.clusters)


def test_pixel_8_has_scalable_vectors(all_facts: dict[str, DeviceFacts]) -> None:
    assert {"i8mm", "sve", "sve2", "svebf16"} <= set(all_facts["pixel-8"].common_features)
    assert "bf16" not in all_facts["pixel-8"].common_features  # it lists only the SVE kind


def test_signs_of_accelerators(all_facts: dict[str, DeviceFacts]) -> None:
    seen = {
        name: [(sign.kind, sign.seen, sign.source) for sign in facts.accelerators]
        for name, facts in all_facts.items()
        if facts.accelerators
    }

    model = "/sys/class/kgsl/kgsl-3d0/gpu_model"
    egl = ("gpu", "adreno", "getprop ro.hardware.egl")
    services = ("apunn", "armnn")
    assert seen == {
        "galaxy-s8-us": [("gpu", "Adreno540v2", model), egl],
        "galaxy-s9-us": [("gpu", "Adreno630v2", model), egl],
        "oppo-r15": [
            ("npu", f"init.svc.neuralnetworks_hal_service_{service}", "getprop")
            for service in services
        ],
    }
