"""Fields of a binary message, little-endian and packed: a writer, and a reader that trusts nothing.

Every length is checked against what is left of the message before memory is taken for it.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.errors import FwdllmError

_INDEX_TYPES = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"))


class MalformedMessageError(FwdllmError):
    """Bytes that are not the message that they should be."""


class Writer:
    """Appends fields; `pack` takes `struct` codes without a byte order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def pack(self, codes: str, *values: Any) -> None:
        """
        Raises:
            ValueError: a number is outside the range of its field.
        """
        try:
            self._parts.append(struct.pack("<" + codes, *values))
        except struct.error as error:
            raise ValueError(f"{values} do not fit {codes!r}: {error}") from error

    def array(self, values: NDArray[Any], dtype: str) -> None:
        """A count and the elements of a vector."""
        self.pack("I", len(values))
        self._parts.append(np.ascontiguousarray(values, dtype=dtype).tobytes())

    def indices(self, values: NDArray[np.integer[Any]]) -> None:
        """Numbers below 2**32, in 1, 2 or 4 bytes each as the largest needs."""
        largest = int(values.max(initial=0))
        code = next((code for code in range(3) if largest < 1 << (8 << code)), None)
        if code is None or int(values.min(initial=0)) < 0:
            raise ValueError(f"indices lie between 0 and 2**32, got {largest}")
        self.pack("B", code)
        self.array(values, _INDEX_TYPES[code].str)

    def raw(self, data: bytes) -> None:
        """Bytes whose length the reader knows."""
        self._parts.append(data)

    def data(self, data: bytes) -> None:
        """A count and bytes."""
        self.pack("I", len(data))
        self._parts.append(data)

    def text(self, text: str, most_bytes: int = 65_535) -> None:
        """A count and UTF-8 text, cut to `most_bytes`."""
        # A lone surrogate, as in a badly decoded file name, has no UTF-8 form of its own.
        encoded = text.encode("utf-8", "replace")[:most_bytes]
        encoded = encoded.decode("utf-8", "ignore").encode()
        self.pack("H", len(encoded))
        self._parts.append(encoded)

    def bytes(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Takes fields from the front of a message.

    Every method raises MalformedMessageError where the message ends too early or its content is
    impossible.
    """

    def __init__(self, message: bytes) -> None:
        self._rest = memoryview(message)

    def unpack(self, codes: str) -> tuple[Any, ...]:
        """Floating-point numbers must be finite."""
        layout = struct.Struct("<" + codes)
        values = layout.unpack(self._take(layout.size))
        for value in values:
            if isinstance(value, float) and not math.isfinite(value):
                raise MalformedMessageError(f"a number is not finite: {value}")
        return values

    def array(self, dtype: str) -> NDArray[Any]:
        """A vector of its own memory, in this machine's byte order."""
        (count,) = self.unpack("I")
        kind = np.dtype(dtype)
        taken = self._take(count * kind.itemsize)
        return np.frombuffer(taken, dtype=kind).astype(kind.newbyteorder("="))

    def finite(self, dtype: str) -> NDArray[Any]:
        """An array without NaN and infinity."""
        values = self.array(dtype)
        if not np.isfinite(values).all():
            raise MalformedMessageError("an array holds values that are not finite numbers")
        return values

    def indices(self) -> NDArray[np.int64]:
        return self.array(self.choice(_INDEX_TYPES).str).astype(np.int64)

    def raw(self, count: int) -> bytes:
        return bytes(self._take(count))

    def data(self) -> bytes:
        (count,) = self.unpack("I")
        return self.raw(count)

    def text(self) -> str:
        (count,) = self.unpack("H")
        try:
            return self.raw(count).decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedMessageError("a text is not UTF-8") from error

    def choice(self, options: tuple[Any, ...]) -> Any:
        """One of the options, whose number comes as one byte."""
        (number,) = self.unpack("B")
        if number >= len(options):
            raise MalformedMessageError(f"option {number} of {len(options)}")
        return options[number]

    def flags(self, count: int) -> tuple[bool, ...]:
        """The lowest `count` bits of a byte whose others are 0."""
        (byte,) = self.unpack("B")
        if byte >> count:
            raise MalformedMessageError(f"unknown flags {byte:#x}")
        return tuple(bool(byte >> bit & 1) for bit in range(count))

    def end(self) -> None:
        """Nothing may be left."""
        if self._rest:
            raise MalformedMessageError(f"{len(self._rest)} bytes are left at its end")

    def _take(self, count: int) -> memoryview:
        if count > len(self._rest):
            raise MalformedMessageError(f"it ends {count - len(self._rest)} bytes too early")
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken
