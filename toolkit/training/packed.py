"""Dense float32 vectors inside JSON files: base64 of little-endian bytes."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator


def pack(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype("<f4", copy=False).tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float32]:
    """The vector, float32 [n], bit for bit what was packed.

    Raises:
        ValueError: the text is not base64 of whole float32 numbers.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def _checked(text: str) -> str:
    unpack(text)
    return text


PackedFloats = Annotated[str, AfterValidator(_checked)]
