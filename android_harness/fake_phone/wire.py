"""ADB messages as bytes: a header of six little-endian words, then the payload."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

VERSION = 0x01000001
VERSION_WITHOUT_CHECKSUMS = 0x01000001
MAX_PAYLOAD_BYTES = 1 << 20
_HEADER = struct.Struct("<6I")
HEADER_BYTES = _HEADER.size


class WireError(Exception):
    """The bytes are no ADB message."""


@dataclass(frozen=True)
class Message:
    """One ADB message."""

    command: bytes  # four ASCII letters
    arg0: int
    arg1: int
    data: bytes = b""

    def pack(self, *, with_checksum: bool) -> bytes:
        word = int.from_bytes(self.command, "little")
        checksum = sum(self.data) & 0xFFFFFFFF if with_checksum else 0
        return (
            _HEADER.pack(word, self.arg0, self.arg1, len(self.data), checksum, word ^ 0xFFFFFFFF)
            + self.data
        )


async def read_message(reader: asyncio.StreamReader, *, verify_checksum: bool) -> Message:
    """The next message.

    Raises:
        WireError: wrong magic, length or checksum.
        asyncio.IncompleteReadError: the connection ended.
    """
    header = await reader.readexactly(_HEADER.size)
    word, arg0, arg1, length, checksum, magic = _HEADER.unpack(header)
    if magic != word ^ 0xFFFFFFFF or length > MAX_PAYLOAD_BYTES:
        raise WireError(f"not an ADB header: {header.hex()}")
    data = await reader.readexactly(length)
    if verify_checksum and sum(data) & 0xFFFFFFFF != checksum:
        raise WireError("wrong checksum")
    return Message(word.to_bytes(4, "little"), arg0, arg1, data)
