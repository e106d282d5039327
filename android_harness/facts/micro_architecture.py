"""Which design a core is, from the numbers that it gives itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["efficiency", "performance", "prime"]

_ARM, _BROADCOM, _HISILICON, _NVIDIA, _QUALCOMM, _SAMSUNG, _MARVELL = (
    0x41,
    0x42,
    0x48,
    0x4E,
    0x51,
    0x53,
    0x56,
)

_EFFICIENCY = {
    (_ARM, 0xC05): "Cortex-A5",
    (_ARM, 0xC07): "Cortex-A7",
    (_ARM, 0xD01): "Cortex-A32",
    (_ARM, 0xD02): "Cortex-A34",
    (_ARM, 0xD03): "Cortex-A53",
    (_ARM, 0xD04): "Cortex-A35",
    (_ARM, 0xD05): "Cortex-A55",
    (_ARM, 0xD06): "Cortex-A65",
    (_ARM, 0xD43): "Cortex-A65AE",
    (_ARM, 0xD46): "Cortex-A510",
    (_ARM, 0xD4A): "Neoverse-E1",
    (_ARM, 0xD80): "Cortex-A520",
    (_ARM, 0xD88): "Cortex-A520AE",
    (_ARM, 0xD8A): "C1-Nano",
    (_ARM, 0xD8F): "Cortex-A320",
    (_BROADCOM, 0x100): "Brahma-B53",
    (_QUALCOMM, 0x801): "Kryo 2xx Silver",
    (_QUALCOMM, 0x803): "Kryo 3xx Silver",
    (_QUALCOMM, 0x805): "Kryo 4xx Silver",
}
_PERFORMANCE = {
    (_ARM, 0xB02): "ARM11 MPCore",
    (_ARM, 0xB36): "ARM1136",
    (_ARM, 0xB56): "ARM1156",
    (_ARM, 0xB76): "ARM1176",
    (_ARM, 0xC08): "Cortex-A8",
    (_ARM, 0xC09): "Cortex-A9",
    (_ARM, 0xC0D): "Cortex-A17",  # was the A12
    (_ARM, 0xC0E): "Cortex-A17",
    (_ARM, 0xC0F): "Cortex-A15",
    (_ARM, 0xD07): "Cortex-A57",
    (_ARM, 0xD08): "Cortex-A72",
    (_ARM, 0xD09): "Cortex-A73",
    (_ARM, 0xD0A): "Cortex-A75",
    (_ARM, 0xD0B): "Cortex-A76",
    (_ARM, 0xD0C): "Neoverse-N1",
    (_ARM, 0xD0D): "Cortex-A77",
    (_ARM, 0xD0E): "Cortex-A76AE",
    (_ARM, 0xD40): "Neoverse-V1",
    (_ARM, 0xD41): "Cortex-A78",
    (_ARM, 0xD42): "Cortex-A78AE",
    (_ARM, 0xD47): "Cortex-A710",
    (_ARM, 0xD49): "Neoverse-N2",
    (_ARM, 0xD4B): "Cortex-A78C",
    (_ARM, 0xD4D): "Cortex-A715",
    (_ARM, 0xD4F): "Neoverse-V2",
    (_ARM, 0xD81): "Cortex-A720",
    (_ARM, 0xD83): "Neoverse-V3AE",
    (_ARM, 0xD84): "Neoverse-V3",
    (_ARM, 0xD87): "Cortex-A725",
    (_ARM, 0xD89): "Cortex-A720AE",
    (_ARM, 0xD8B): "C1-Pro",
    (_ARM, 0xD8E): "Neoverse-N3",
    (_BROADCOM, 0x00F): "Brahma-B15",
    (_BROADCOM, 0x516): "ThunderX2",
    (_HISILICON, 0xD01): "TaiShan-v110",
    (_HISILICON, 0xD02): "TaiShan-v120",
    (_HISILICON, 0xD40): "Cortex-A76",
    (_HISILICON, 0xD41): "Cortex-A77",
    (_NVIDIA, 0x000): "Denver",
    (_NVIDIA, 0x003): "Denver 2",
    (_NVIDIA, 0x004): "Carmel",
    (_QUALCOMM, 0x00F): "Scorpion",
    (_QUALCOMM, 0x02D): "Scorpion",
    (_QUALCOMM, 0x04D): "Krait",
    (_QUALCOMM, 0x06F): "Krait",
    (_QUALCOMM, 0x201): "Kryo",
    (_QUALCOMM, 0x205): "Kryo",
    (_QUALCOMM, 0x211): "Kryo",
    (_QUALCOMM, 0x800): "Kryo 2xx Gold",
    (_QUALCOMM, 0x802): "Kryo 3xx Gold",
    (_QUALCOMM, 0x804): "Kryo 4xx Gold",
    (_QUALCOMM, 0xC00): "Falkor",
    (_QUALCOMM, 0xC01): "Saphira",
    (_QUALCOMM, 0x001): "Oryon",
    (_QUALCOMM, 0x002): "Oryon V3",
    (_SAMSUNG, 0x002): "Exynos M3",
    (_SAMSUNG, 0x003): "Exynos M4",
    (_SAMSUNG, 0x004): "Exynos M5",
    (_MARVELL, 0x131): "Feroceon",
    (_MARVELL, 0x581): "PJ4",
    (_MARVELL, 0x584): "PJ4B",
}
_PRIME = {
    (_ARM, 0xD44): "Cortex-X1",
    (_ARM, 0xD48): "Cortex-X2",
    (_ARM, 0xD4C): "Cortex-X1C",
    (_ARM, 0xD4E): "Cortex-X3",
    (_ARM, 0xD82): "Cortex-X4",
    (_ARM, 0xD85): "Cortex-X925",
    (_ARM, 0xD8C): "C1-Ultra",
    (_ARM, 0xD90): "C1-Premium",
}
# Two generations of Samsung's own cores have one part number.
_EXYNOS_M = {1: "Exynos M1", 4: "Exynos M2"}

# Intel's of family 6 that were in phones and tablets, by model.
_ATOM = {
    0x26: "Bonnell",
    0x27: "Saltwell",
    0x35: "Saltwell",
    0x37: "Silvermont",
    0x4A: "Silvermont",
    0x4C: "Airmont",
    0x5A: "Silvermont",
    0x5D: "Silvermont",
    0x75: "Airmont",
}


@dataclass(frozen=True)
class MicroArchitecture:
    """The design of a core, and what it is for where designs are mixed; None: unknown."""

    name: str
    kind: Kind | None


@dataclass(frozen=True)
class ArmIdentity:
    """What an ARM core says of itself, in /proc/cpuinfo or its MIDR register."""

    implementer: int
    part: int
    variant: int | None
    revision: int | None

    def __str__(self) -> str:
        text = f"implementer {self.implementer:#04x} part {self.part:#05x}"
        if self.variant is None or self.revision is None:
            return text
        return f"{text} r{self.variant}p{self.revision}"

    @classmethod
    def from_midr(cls, midr: int) -> ArmIdentity:
        """From the value of the register MIDR_EL1."""
        return cls(
            implementer=midr >> 24 & 0xFF,
            part=midr >> 4 & 0xFFF,
            variant=midr >> 20 & 0xF,
            revision=midr & 0xF,
        )

    @property
    def design(self) -> tuple[int, int]:
        """Equal for cores of one design, whatever their revision."""
        return (self.implementer, self.part)

    @property
    def micro_architecture(self) -> MicroArchitecture | None:
        """None for a core that is not in the tables."""
        if self.design == (_SAMSUNG, 0x001):
            name = _EXYNOS_M.get(self.variant or 0)
            return MicroArchitecture(name, "performance") if name else None
        tables: tuple[tuple[dict[tuple[int, int], str], Kind], ...] = (
            (_EFFICIENCY, "efficiency"),
            (_PERFORMANCE, "performance"),
            (_PRIME, "prime"),
        )
        for table, kind in tables:
            if self.design in table:
                return MicroArchitecture(table[self.design], kind)
        return None


@dataclass(frozen=True)
class X86Identity:
    """What an x86 core says of itself."""

    vendor: str
    family: int
    model: int

    def __str__(self) -> str:
        return f"{self.vendor} family {self.family} model {self.model}"

    @property
    def design(self) -> tuple[str, int, int]:
        return (self.vendor, self.family, self.model)

    @property
    def micro_architecture(self) -> MicroArchitecture | None:
        """Only Intel's phone processors are in the table."""
        name = _ATOM.get(self.model) if (self.vendor, self.family) == ("GenuineIntel", 6) else None
        return MicroArchitecture(name, None) if name else None


CoreIdentity = ArmIdentity | X86Identity


def kind_of(name: str) -> Kind | None:
    """The kind of a design by its name in these tables."""
    if name in _EFFICIENCY.values():
        return "efficiency"
    if name in _PRIME.values():
        return "prime"
    known = name in _PERFORMANCE.values() or name in _EXYNOS_M.values()
    return "performance" if known else None
