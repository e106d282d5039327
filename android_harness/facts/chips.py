"""Names of systems on a chip, and how the cores of those are laid out that hide it.

A device names its chip in one of a dozen places, in its maker's spelling or by its board's code
name. Kernels before Linux 4 tell the design of one core only: for phones with two designs that
have such kernels, the layout is in a table here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from android_harness.facts.properties import first_known

Layout = tuple[tuple[int, str], ...]

_MAKERS = {
    "qti": "Qualcomm",
    "qualcomm technologies, inc": "Qualcomm",
    "mediatek": "MediaTek",
    "samsung": "Samsung",
    "google": "Google",
    "spreadtrum": "Spreadtrum",
    "unisoc": "Unisoc",
    "hisilicon": "HiSilicon",
    "huawei": "HiSilicon",
}

# Code names of chips, and of boards that were built with one chip only.
_CODE_NAMES = {
    "zuma": "Google Tensor G3",
    "zumapro": "Google Tensor G4",
    "gs101": "Google Tensor",
    "gs201": "Google Tensor G2",
    "laguna": "Google Tensor G5",
    "msmnile": "Qualcomm SM8150",
    "kona": "Qualcomm SM8250",
    "lahaina": "Qualcomm SM8350",
    "song": "Xiaomi Surge S1",
    "manta": "Samsung Exynos 5250",
    "gs702a": "Actions ATM7029",
    "gs702c": "Actions ATM7029",
    "hi3630": "HiSilicon Kirin 920",
    "hi3635": "HiSilicon Kirin 930",
    "hi3650": "HiSilicon Kirin 950",
    "hi3660": "HiSilicon Kirin 960",
    "hi3670": "HiSilicon Kirin 970",
    "hi6210sft": "HiSilicon Kirin 620",
    "hi6250": "HiSilicon Kirin 650",  # also the faster 655, 658 and 659
    "hi6620oem": "HiSilicon Kirin 910T",
    "s5e8535": "Samsung Exynos 1330",
    "s5e8825": "Samsung Exynos 1280",
    "s5e8835": "Samsung Exynos 1380",
    "s5e8845": "Samsung Exynos 1480",
    "s5e8855": "Samsung Exynos 1580",
    "s5e9925": "Samsung Exynos 2200",
    "s5e9945": "Samsung Exynos 2400",
    "s5e9955": "Samsung Exynos 2500",
}

# How makers number their chips, as it stands in properties and in /proc/cpuinfo's Hardware line.
_NUMBERED: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"\b(MSM|APQ|SDM|SDA|QSD|SM)[ ]?([0-9]{3,4}[A-Za-z]{0,3})\b", re.IGNORECASE),
        lambda match: f"Qualcomm {match[1].upper()}{match[2]}",
    ),
    (
        re.compile(r"(?:exynos|universal)[ ]?([0-9]{3,4})", re.IGNORECASE),
        lambda match: f"Samsung Exynos {match[1]}",
    ),
    (
        re.compile(r"\b(MT[0-9]{4}[A-Z]{0,2}(?:/[A-Z]{1,3})?)", re.IGNORECASE),
        lambda match: f"MediaTek {match[1].upper()}",
    ),
    (
        re.compile(r"\bkirin[ ]?([0-9]{3,4}[A-Z]?)\b", re.IGNORECASE),
        lambda match: f"HiSilicon Kirin {match[1].upper()}",
    ),
    (
        re.compile(r"\b(?:SC|SP)([0-9]{4}[A-Z]{0,3})", re.IGNORECASE),
        lambda match: f"Spreadtrum SC{match[1].upper()}",
    ),
    (
        re.compile(r"Atom\(TM\) CPU +([A-Z][0-9]{4}[A-Z]?)"),
        lambda match: f"Intel Atom {match[1]}",
    ),
    (
        re.compile(r"\b(RK[0-9]{4}[A-Z]{0,2})\b", re.IGNORECASE),
        lambda match: f"Rockchip {match[1].upper()}",
    ),
    (re.compile(r"\b(sun[0-9]{1,2}i)"), lambda match: f"Allwinner {match[1]}"),
    (
        re.compile(r"\b(ATM[0-9]{4}[A-Z]?)", re.IGNORECASE),
        lambda match: f"Actions {match[1].upper()}",
    ),
    (
        re.compile(r"\b(PXA[0-9]{3,4}[A-Z]?)\b", re.IGNORECASE),
        lambda match: f"Marvell {match[1].upper()}",
    ),
    (
        re.compile(r"\b(BCM[0-9]{4,5}[A-Z]?)\b", re.IGNORECASE),
        lambda match: f"Broadcom {match[1].upper()}",
    ),
    (
        re.compile(r"\b(OMAP[0-9]{4})", re.IGNORECASE),
        lambda match: f"Texas Instruments {match[1].upper()}",
    ),
    (
        re.compile(r"\btegra[ ]?([0-9A-Z]{1,4})\b", re.IGNORECASE),
        lambda match: f"NVIDIA Tegra {match[1].upper()}",
    ),
)

# Cores by cluster, slowest first.
_A53_TWICE = ((4, "Cortex-A53"), (4, "Cortex-A53"))
_BIG_LITTLE_32 = ((4, "Cortex-A7"), (4, "Cortex-A15"))
_LAYOUTS: dict[str, Layout] = {
    "Qualcomm MSM8929": _A53_TWICE,
    "Qualcomm MSM8936": _A53_TWICE,
    "Qualcomm MSM8937": _A53_TWICE,
    "Qualcomm MSM8939": _A53_TWICE,
    "Qualcomm MSM8940": _A53_TWICE,
    "Qualcomm MSM8952": _A53_TWICE,
    "Qualcomm MSM8953": _A53_TWICE,
    "Qualcomm MSM8956": ((4, "Cortex-A53"), (2, "Cortex-A72")),
    "Qualcomm MSM8976": ((4, "Cortex-A53"), (4, "Cortex-A72")),
    "Qualcomm MSM8992": ((4, "Cortex-A53"), (2, "Cortex-A57")),
    "Qualcomm MSM8994": ((4, "Cortex-A53"), (4, "Cortex-A57")),
    "Samsung Exynos 5260": ((4, "Cortex-A7"), (2, "Cortex-A15")),
    "Samsung Exynos 5420": _BIG_LITTLE_32,
    "Samsung Exynos 5422": _BIG_LITTLE_32,
    "Samsung Exynos 5430": _BIG_LITTLE_32,
    "Samsung Exynos 5433": ((4, "Cortex-A53"), (4, "Cortex-A57")),
    "Samsung Exynos 7420": ((4, "Cortex-A53"), (4, "Cortex-A57")),
    "Samsung Exynos 7580": _A53_TWICE,
    "Samsung Exynos 7870": _A53_TWICE,
    "Samsung Exynos 8890": ((4, "Cortex-A53"), (4, "Exynos M1")),
    "HiSilicon Kirin 620": _A53_TWICE,
    "HiSilicon Kirin 650": _A53_TWICE,
    "HiSilicon Kirin 910T": ((4, "Cortex-A9"),),
    "HiSilicon Kirin 920": _BIG_LITTLE_32,
    "HiSilicon Kirin 925": _BIG_LITTLE_32,
    "HiSilicon Kirin 930": _A53_TWICE,
    "HiSilicon Kirin 935": _A53_TWICE,
    "HiSilicon Kirin 950": ((4, "Cortex-A53"), (4, "Cortex-A72")),
    "HiSilicon Kirin 955": ((4, "Cortex-A53"), (4, "Cortex-A72")),
    "MediaTek MT6592": ((8, "Cortex-A7"),),
    "MediaTek MT6595": ((4, "Cortex-A7"), (4, "Cortex-A17")),
    "MediaTek MT6738": ((4, "Cortex-A53"),),
    "MediaTek MT6750": _A53_TWICE,
    "MediaTek MT6752": _A53_TWICE,
    "MediaTek MT6753": _A53_TWICE,
    "MediaTek MT6755": _A53_TWICE,
    "MediaTek MT6795": _A53_TWICE,
    "MediaTek MT6797": ((4, "Cortex-A53"), (4, "Cortex-A53"), (2, "Cortex-A72")),
    "MediaTek MT8173": ((2, "Cortex-A53"), (2, "Cortex-A72")),
    "Actions ATM7029": ((4, "Cortex-A5"),),
    "Rockchip RK3368": _A53_TWICE,
    "Rockchip RK3399": ((4, "Cortex-A53"), (2, "Cortex-A72")),
    "Xiaomi Surge S1": _A53_TWICE,
}


def find_soc(
    properties: Mapping[str, str], cpuinfo: Mapping[str, str], machine: str | None
) -> tuple[str | None, str | None]:
    """The chip's maker and name, and where that was found.

    Args:
        cpuinfo: the fields of /proc/cpuinfo.
        machine: /sys/devices/soc0/machine.
    """
    model, source = first_known(properties, ("ro.soc.model",))
    if model is not None:
        maker, _ = first_known(properties, ("ro.soc.manufacturer",))
        return _known_chip(model) or _with_maker(maker, model), source
    candidates = [
        *_properties(properties, ("ro.chipname", "ro.hardware.chipname", "ro.hardware.alter")),
        *_fields(cpuinfo, ("MSM Hardware", "Hardware", "model name")),
        ("/sys/devices/soc0/machine", machine or ""),
        *_properties(
            properties,
            ("ro.mediatek.platform", "ro.board.platform", "ro.hardware", "ro.product.board"),
        ),
    ]
    for place, value in candidates:
        chip = _known_chip(value)
        if chip is not None:
            return chip, place
    # A name that is in no table is better than none.
    names = ("ro.chipname", "ro.mediatek.platform", "ro.board.platform")
    name, source = first_known(properties, names)
    if name is None and cpuinfo.get("Hardware"):
        return cpuinfo["Hardware"], "/proc/cpuinfo Hardware"
    return name, source


def layout_of(soc: str | None) -> Layout:
    """Cores and designs by cluster, slowest first; empty for a chip that is not in the table."""
    names = [name for name in _LAYOUTS if (soc or "").startswith(name)]
    return _LAYOUTS[max(names, key=len)] if names else ()


def _known_chip(text: str) -> str | None:
    text = text.strip()
    if text.lower() in _CODE_NAMES:
        return _CODE_NAMES[text.lower()]
    for pattern, name in _NUMBERED:
        match = pattern.search(text)
        if match is not None:
            return name(match)
    return None


def _with_maker(maker: str | None, model: str) -> str:
    if maker is None:
        return model
    maker = _MAKERS.get(maker.lower(), maker)
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _properties(properties: Mapping[str, str], names: Iterable[str]) -> list[tuple[str, str]]:
    return [(f"getprop {name}", properties.get(name, "")) for name in names]


def _fields(cpuinfo: Mapping[str, str], names: Iterable[str]) -> list[tuple[str, str]]:
    return [(f"/proc/cpuinfo {name}", cpuinfo.get(name, "")) for name in names]
