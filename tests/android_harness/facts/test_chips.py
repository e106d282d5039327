from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.chips import find_soc, layout_of


@pytest.mark.parametrize(
    ("maker", "model", "name"),
    [
        ("QTI", "SM8650", "Qualcomm SM8650"),
        ("Mediatek", "MT6989", "MediaTek MT6989"),
        ("Samsung", "s5e9945", "Samsung Exynos 2400"),
        ("Google", "Tensor G4", "Google Tensor G4"),
        ("Spreadtrum", "T606", "Spreadtrum T606"),
        (None, "host x86_64", "host x86_64"),
    ],
)
def test_android_12_and_later_name_the_chip(maker: str | None, model: str, name: str) -> None:
    properties = {"ro.soc.model": model, "ro.board.platform": "kona"}
    if maker is not None:
        properties["ro.soc.manufacturer"] = maker

    assert find_soc(properties, {}, None) == (name, "getprop ro.soc.model")


@pytest.mark.parametrize(
    ("hardware", "name"),
    [
        ("Qualcomm Technologies, Inc SDM660", "Qualcomm SDM660"),
        ("Qualcomm Technologies, Inc SM6150", "Qualcomm SM6150"),
        ("MT6765V/CB", "MediaTek MT6765V/CB"),
        ("Kirin 980", "HiSilicon Kirin 980"),
        ("hi3660", "HiSilicon Kirin 960"),
        ("PXA1088", "Marvell PXA1088"),
        ("BCM2835", "Broadcom BCM2835"),
        ("rk3399", "Rockchip RK3399"),
        ("OMAP4430", "Texas Instruments OMAP4430"),
        ("NVIDIA Tegra T124", "NVIDIA Tegra T124"),
        ("sp7731g", "Spreadtrum SC7731G"),
    ],
)
def test_spellings_of_makers(hardware: str, name: str) -> None:
    assert find_soc({}, {"Hardware": hardware}, None) == (name, "/proc/cpuinfo Hardware")


def test_a_name_that_nobody_knows_is_passed_on() -> None:
    assert find_soc({"ro.board.platform": "whale2"}, {}, None) == (
        "whale2",
        "getprop ro.board.platform",
    )
    assert find_soc({"ro.soc.model": "unknown"}, {"Hardware": "Odd Board"}, None) == (
        "Odd Board",
        "/proc/cpuinfo Hardware",
    )
    assert find_soc({}, {}, "SDM845") == ("Qualcomm SDM845", "/sys/devices/soc0/machine")
    assert find_soc({}, {}, None) == (None, None)


def test_layouts_hold_for_variants_of_a_chip() -> None:
    assert layout_of("MediaTek MT6797T") == layout_of("MediaTek MT6797") != ()
    assert layout_of("Qualcomm SM8650") == layout_of(None) == ()


@given(
    st.dictionaries(
        st.sampled_from(["ro.soc.model", "ro.soc.manufacturer", "ro.chipname", "ro.hardware"]),
        st.text(max_size=30),
    ),
    st.dictionaries(st.sampled_from(["Hardware", "model name"]), st.text(max_size=30)),
    st.one_of(st.none(), st.text(max_size=20)),
)
def test_no_names_break_it(
    properties: dict[str, str], cpuinfo: dict[str, str], machine: str | None
) -> None:
    name, source = find_soc(properties, cpuinfo, machine)
    assert (name is None) == (source is None)
    layout_of(name)
