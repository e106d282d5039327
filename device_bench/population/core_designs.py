"""How fast core designs are, as far as their makers and reviewers have described them.

Peaks, to compare devices by; what a kernel reaches of them is not in here. Nothing was measured,
so a profile that rests on these numbers calls them assumed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Arithmetic = Literal["int8", "float32"]

# Bits of vector multiply-accumulate that a core starts in a cycle: pipes times their width.
_BITS: dict[int, tuple[str, ...]] = {
    32: ("ARM11 MPCore", "ARM1136", "ARM1156", "ARM1176", "Cortex-A5", "Feroceon", "PJ4", "PJ4B"),
    64: (
        *("Cortex-A7", "Cortex-A8", "Cortex-A9", "Cortex-A32", "Cortex-A34", "Cortex-A35"),
        *("Scorpion", "Bonnell", "Saltwell", "Silvermont", "Airmont"),
    ),
    128: (
        *("Cortex-A15", "Cortex-A17", "Cortex-A53", "Cortex-A55", "Cortex-A57", "Cortex-A65"),
        *("Cortex-A65AE", "Cortex-A72", "Cortex-A73", "Cortex-A75", "Cortex-A320", "Cortex-A510"),
        *("Cortex-A520", "Cortex-A520AE", "C1-Nano", "Neoverse-E1", "Krait", "Kryo"),
        *("Kryo 2xx Silver", "Kryo 2xx Gold", "Kryo 3xx Silver", "Kryo 3xx Gold"),
        *("Kryo 4xx Silver", "Exynos M1", "Exynos M2", "Denver", "Brahma-B15", "Brahma-B53"),
    ),
    256: (
        *("Cortex-A76", "Cortex-A76AE", "Cortex-A77", "Cortex-A78", "Cortex-A78AE"),
        *("Cortex-A78C", "Cortex-A710", "Cortex-A715", "Cortex-A720", "Cortex-A720AE"),
        *("Cortex-A725", "C1-Pro", "Kryo 4xx Gold", "Neoverse-N1", "Neoverse-N2", "Neoverse-N3"),
        *("Denver 2", "Carmel", "Falkor", "Saphira", "ThunderX2", "TaiShan-v110", "TaiShan-v120"),
    ),
    384: ("Exynos M3", "Exynos M4", "Exynos M5"),
    512: (
        *("Cortex-X1", "Cortex-X1C", "Cortex-X2", "Cortex-X3", "Cortex-X4", "Oryon", "Oryon V3"),
        *("Neoverse-V1", "Neoverse-V2", "Neoverse-V3", "Neoverse-V3AE"),
    ),
    768: ("Cortex-X925", "C1-Premium", "C1-Ultra"),
}
_BITS_OF = {name: bits for bits, names in _BITS.items() for name in names}
_UNKNOWN_BITS = 128

# Gigabytes per second of the memory that devices with a design for their fastest were sold with:
# LPDDR2, then LPDDR3 of one and two channels, LPDDR4, LPDDR4X, LPDDR5 and LPDDR5X.
_GB_PER_S: dict[float, tuple[str, ...]] = {
    4.3: ("Cortex-A5", "Cortex-A7", "Cortex-A8", "Cortex-A9", "Scorpion", "Bonnell", "Saltwell"),
    7.5: ("Cortex-A53", "Cortex-A35", "Kryo 2xx Silver", "Krait", "Silvermont", "Airmont"),
    14.9: (
        *("Cortex-A15", "Cortex-A17", "Cortex-A55", "Cortex-A57", "Cortex-A72", "Cortex-A73"),
        "Kryo 2xx Gold",
    ),
    29.8: (
        *("Cortex-A75", "Kryo", "Kryo 3xx Gold", "Exynos M1", "Exynos M2", "Exynos M3"),
        *("Denver", "Denver 2", "Carmel"),
    ),
    34.1: ("Cortex-A76", "Kryo 4xx Gold", "Cortex-A77", "Cortex-A78", "Exynos M4", "Exynos M5"),
    51.2: ("Cortex-X1", "Cortex-X2", "Cortex-X3", "Cortex-A710", "Cortex-A715", "Cortex-A720"),
    76.8: ("Cortex-X4", "Cortex-X925", "Cortex-A725", "Oryon", "Oryon V3", "C1-Ultra"),
}
_GB_PER_S_OF = {name: rate for rate, names in _GB_PER_S.items() for name in names}
_UNKNOWN_GB_PER_S = 14.9
_X86_GB_PER_S = 25.6  # one channel of DDR4-3200

# x86 has no table of designs: its features say how wide its vectors are.
_X86_BITS = (("avx512f", 1024), ("avx2", 512), ("avx", 256), ("sse2", 128))
# Multiply-accumulates of 8-bit integers in an operation of 128 bits.
_INT8 = (("i8mm", 32), ("asimddp", 16), ("avx512_vnni", 16), ("avx_vnni", 16))
_INT8_WITHOUT = 4  # widening products, added in pairs
_FLOAT32 = 4


@dataclass(frozen=True)
class CoreDesign:
    """`per_cycle`: multiply-accumulates in a cycle of a core. `known`: its design is in a table."""

    per_cycle: float
    gb_per_s: float
    known: bool


def core_design(name: str | None, features: Collection[str], arithmetic: Arithmetic) -> CoreDesign:
    """The design of a core by its name and the instruction sets that it has."""
    lanes = _FLOAT32
    if arithmetic == "int8":
        lanes = next((count for feature, count in _INT8 if feature in features), _INT8_WITHOUT)
    if name in _BITS_OF:
        rate = _GB_PER_S_OF.get(name, _UNKNOWN_GB_PER_S)
        return CoreDesign(_BITS_OF[name] / 128 * lanes, rate, True)
    bits = next((width for feature, width in _X86_BITS if feature in features), None)
    if bits is not None:
        return CoreDesign(bits / 128 * lanes, _X86_GB_PER_S, True)
    return CoreDesign(_UNKNOWN_BITS / 128 * lanes, _UNKNOWN_GB_PER_S, False)
