"""Android's property table."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*?)\]$", re.MULTILINE | re.DOTALL)
_EMULATOR_HARDWARE = frozenset(["goldfish", "ranchu", "cutf_cvm", "vsoc"])


def parse_properties(text: str) -> dict[str, str]:
    """What `getprop` prints; values may go over several lines."""
    return dict(_PROPERTY.findall(text))


def first_known(
    properties: Mapping[str, str], names: tuple[str, ...]
) -> tuple[str | None, str | None]:
    """The first property that has a value, and its source; Android's "unknown" is none."""
    for name in names:
        value = properties.get(name, "").strip()
        if value and value.lower() != "unknown":
            return value, f"getprop {name}"
    return None, None


def abis(properties: Mapping[str, str]) -> tuple[str, ...]:
    """All ABIs, preferred first, by Android's names."""
    listed = properties.get("ro.product.cpu.abilist") or ",".join(
        properties.get(name, "") for name in ("ro.product.cpu.abi", "ro.product.cpu.abi2")
    )
    return tuple(abi.strip() for abi in listed.split(",") if abi.strip())


def is_emulator(properties: Mapping[str, str]) -> bool | None:
    """Whether the table is that of Android's emulator or Cuttlefish; None without a table."""
    if not properties:
        return None
    return (
        "1" in (properties.get("ro.kernel.qemu"), properties.get("ro.boot.qemu"))
        or properties.get("ro.hardware") in _EMULATOR_HARDWARE
        or properties.get("ro.product.device", "").startswith(("emulator", "emu64", "vsoc_"))
    )
