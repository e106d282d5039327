"""The division at random into equal parts."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from exporters.contract import Part
from toolkit.data.table import Rows
from toolkit.errors import DataError


class IidPartition(Part):
    """Equal parts at random: sizes differ by at most 1."""

    kind: Literal["iid"] = "iid"
    minimum: PositiveInt = 1

    def divide(self, rows: Rows, clients: int, seed: int) -> list[NDArray[np.int64]]:
        """Each client's row numbers.

        Raises:
            DataError: too few rows.
        """
        check_enough(len(rows), clients, self.minimum)
        order = np.random.default_rng(seed).permutation(len(rows)).astype(np.int64)
        return np.array_split(order, clients)


def check_enough(rows: int, clients: int, minimum: int) -> None:
    """Raises DataError unless each client can have `minimum` rows."""
    if rows < clients * minimum:
        raise DataError(
            f"{rows} examples cannot be divided over {clients} clients"
            + (f" with {minimum} for each" if minimum > 1 else ""),
            remedy="give more data or fewer clients",
        )
