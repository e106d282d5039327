"""For which processor a program was built, from its ELF header."""

from __future__ import annotations

import struct
from pathlib import Path

# e_machine (ELF specification and its processor supplements) to Android's ABI names.
_ABI_OF_MACHINE = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}


def elf_abi(program: Path) -> str | None:
    """The Android ABI name of an ELF file, `unknown` for other processors, None if not ELF."""
    with program.open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    byte_order = "<" if header[5] == 1 else ">"
    (machine,) = struct.unpack_from(f"{byte_order}H", header, 18)
    return _ABI_OF_MACHINE.get(machine, "unknown")
