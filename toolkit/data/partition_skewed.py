"""Divisions at random with unequal labels or sizes, drawn from a Dirichlet distribution."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from exporters.contract import Part
from toolkit.data.partition_even import check_enough
from toolkit.data.table import Rows
from toolkit.errors import DataError


class DirichletPartition(Part):
    """Label skew: each label's rows are divided in shares drawn from Dirichlet(α, ..., α).

    As in Yurochkin et al. (2019), Bayesian nonparametric federated learning. A small α gives a
    client rows of few labels, a large one an even mixture. Clients that would have fewer rows
    than the minimum get random ones of the client that has most.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: float = Field(gt=0, allow_inf_nan=False)
    minimum: PositiveInt = 1

    def divide(self, rows: Rows, clients: int, seed: int) -> list[NDArray[np.int64]]:
        """Each client's row numbers.

        Raises:
            DataError: the rows have no labels, or there are too few.
        """
        if rows.labels is None:
            raise DataError(
                "a partition by label needs labels",
                remedy="name the label column, or divide in another way",
            )
        check_enough(len(rows), clients, self.minimum)
        generator = np.random.default_rng(seed)
        labels = np.array(rows.labels)
        parts: list[list[int]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            members = generator.permutation(np.flatnonzero(labels == label))
            sizes = _sizes(generator, self.alpha, clients, len(members))
            for part, piece in zip(parts, np.split(members, np.cumsum(sizes)[:-1]), strict=True):
                part += piece.tolist()
        for part in parts:
            while len(part) < self.minimum:
                richest = max(parts, key=len)
                part.append(richest.pop(int(generator.integers(len(richest)))))
        return [np.array(part, dtype=np.int64) for part in parts]


class QuantityPartition(Part):
    """Quantity skew: sizes are drawn from Dirichlet(α, ..., α), rows at random.

    As in Li et al. (2022), Federated learning on non-IID data silos. Every client has the
    minimum; what is left over it is divided in the shares drawn.
    """

    kind: Literal["quantity"] = "quantity"
    alpha: float = Field(gt=0, allow_inf_nan=False)
    minimum: PositiveInt = 1

    def divide(self, rows: Rows, clients: int, seed: int) -> list[NDArray[np.int64]]:
        """Each client's row numbers.

        Raises:
            DataError: too few rows.
        """
        check_enough(len(rows), clients, self.minimum)
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(rows)).astype(np.int64)
        rest = len(rows) - clients * self.minimum
        sizes = self.minimum + _sizes(generator, self.alpha, clients, rest)
        return np.split(order, np.cumsum(sizes)[:-1])


def _sizes(
    generator: np.random.Generator, alpha: float, parts: int, total: int
) -> NDArray[np.int64]:
    """Sizes that add up to `total`, in Dirichlet shares, each within 1 of its share."""
    shares = generator.dirichlet(np.full(parts, alpha))
    ends = np.rint(np.cumsum(shares) * total).astype(np.int64)
    ends[-1] = total
    return np.diff(ends, prepend=0)
