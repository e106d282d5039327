"""The division by who wrote what."""

from __future__ import annotations

import heapq
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from exporters.contract import Part
from toolkit.data.table import Rows
from toolkit.errors import DataError


class UserPartition(Part):
    """All rows of a user go to one client.

    With as many clients as users each has one user. With fewer, users are dealt from the one
    with the most rows down, each to the client that has the fewest rows then.
    """

    kind: Literal["user"] = "user"
    column: str = Field(min_length=1)
    minimum: PositiveInt = 1

    def divide(self, rows: Rows, clients: int, seed: int) -> list[NDArray[np.int64]]:
        """Each client's row numbers; users with equally many rows are dealt in random order.

        Raises:
            DataError: the rows were read without users, there are more clients than users, or a
                client has fewer rows than the minimum.
        """
        if rows.users is None:
            raise DataError(
                f"the rows were read without the user column {self.column}",
                remedy="name it as the user column",
            )
        _, numbers = np.unique(np.array(rows.users), return_inverse=True)
        order = np.argsort(numbers, kind="stable").astype(np.int64)
        by_user = np.split(order, np.cumsum(np.bincount(numbers))[:-1])
        if len(by_user) < clients:
            raise DataError(
                f"{len(by_user)} users cannot be divided over {clients} clients",
                remedy=f"ask for at most {len(by_user)} clients, or divide in another way",
            )
        generator = np.random.default_rng(seed)
        dealt = sorted(generator.permutation(len(by_user)), key=lambda user: -len(by_user[user]))
        fewest = [(0, client) for client in range(clients)]
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(clients)]
        for user in dealt:
            size, client = heapq.heappop(fewest)
            parts[client].append(by_user[user])
            heapq.heappush(fewest, (size + len(by_user[user]), client))
        smallest = min(size for size, _ in fewest)
        if smallest < self.minimum:
            raise DataError(
                f"a client would have {smallest} rows of its users, fewer than {self.minimum}",
                remedy="ask for fewer clients, or drop users with few rows",
            )
        return [np.concatenate(part) for part in parts]
