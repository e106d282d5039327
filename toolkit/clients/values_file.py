"""A flat vector in a file, as the native runner reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.protocol.update import Values


@contextmanager
def values_file(values: Values) -> Iterator[Path]:
    """A temporary file of this machine: raw little-endian float32 [parameters]."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.f32"
        path.write_bytes(values.astype("<f4", copy=False).tobytes())
        yield path
