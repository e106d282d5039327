"""What a server keeps between rounds beside the replicas' state."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.durable_files import replaced_atomically
from toolkit.errors import TrainingError

# The forward gradient of the latest round, float32 [parameters].
GRADIENT = "gradient"


@dataclass(frozen=True)
class ServerMemory:
    """Named arrays (float32 or float64) and numbers; part of a checkpoint.

    A rule reads and writes only names that begin with its own kind.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    scalars: Mapping[str, float] = field(default_factory=dict)

    def with_arrays(self, **arrays: NDArray[Any]) -> ServerMemory:
        """This memory with these arrays in place of those of the same names."""
        return ServerMemory({**self.arrays, **arrays}, self.scalars)

    def with_scalars(self, **scalars: float) -> ServerMemory:
        return ServerMemory(self.arrays, {**self.scalars, **scalars})

    def save(self, path: Path) -> None:
        """Writes an .npz file atomically; numbers are float64 arrays without dimensions."""
        arrays: dict[str, Any] = {f"array:{name}": value for name, value in self.arrays.items()}
        arrays |= {f"scalar:{name}": np.float64(value) for name, value in self.scalars.items()}
        with replaced_atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> ServerMemory:
        """What `save` wrote.

        Raises:
            TrainingError: the file is missing or is not one of `save`.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"cannot read the server's memory: {error}",
                remedy="continue from an earlier checkpoint",
                file=path,
            ) from error
        arrays, scalars = {}, {}
        for key, value in content.items():
            kind, _, name = key.partition(":")
            if kind == "array":
                arrays[name] = value
            else:
                scalars[name] = float(value)
        return cls(arrays, scalars)
