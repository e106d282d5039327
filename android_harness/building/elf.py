"""What a program's ELF header says of where it can run."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# e_machine (ELF specification and its processor supplements) to Android's ABI names.
_ABI_OF_MACHINE = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}
_LOAD, _INTERPRETER = 1, 3  # p_type
_START_BYTES = 65536  # linkers put the header, its table and the loader's path first


@dataclass(frozen=True)
class ElfProgram:
    """What a kernel looks at before it runs a program.

    Attributes:
        abi: by Android's name; `unknown` for other processors.
        interpreter: the path of the loader that it asks for; None: it needs none, being static.
        alignment: in bytes, the least of its loaded segments; None when it has none.
    """

    abi: str
    interpreter: str | None
    alignment: int | None


def read_elf(program: Path) -> ElfProgram | None:
    """None when it is no ELF file, such as a script; a header that is cut off says what it can."""
    with program.open("rb") as file:
        start = file.read(_START_BYTES)
    if len(start) < 20 or start[:4] != b"\x7fELF":
        return None
    order = "<" if start[5] == 1 else ">"
    (machine,) = struct.unpack_from(f"{order}H", start, 18)
    interpreter, alignments = None, []
    for kind, offset, size, alignment in _segments(start, order):
        if kind == _LOAD:
            alignments.append(alignment)
        elif kind == _INTERPRETER:
            interpreter = start[offset : offset + size].rstrip(b"\0").decode(errors="replace")
    abi = _ABI_OF_MACHINE.get(machine, "unknown")
    return ElfProgram(abi, interpreter, min(alignments, default=None))


def _segments(start: bytes, order: str) -> Iterator[tuple[int, int, int, int]]:
    """Type, offset in the file, bytes there, and alignment of each that a 64-bit program has."""
    if start[4] != 2 or len(start) < 64:
        return
    (table,) = struct.unpack_from(f"{order}Q", start, 32)
    entry_bytes, entries = struct.unpack_from(f"{order}HH", start, 54)
    for index in range(entries):
        entry = start[table + index * entry_bytes :][:56]
        if len(entry) < 56:
            return
        kind, _, offset, _, _, size, _, alignment = struct.unpack(f"{order}IIQQQQQQ", entry)
        yield kind, offset, size, alignment
