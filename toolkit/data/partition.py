"""Dividing a data set over clients: the rules, and how a command line names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from toolkit.data.partition_even import IidPartition
from toolkit.data.partition_skewed import DirichletPartition, QuantityPartition
from toolkit.data.partition_users import UserPartition
from toolkit.data.table import Rows
from toolkit.errors import DataError

Partition = Annotated[
    IidPartition | UserPartition | DirichletPartition | QuantityPartition,
    Field(discriminator="kind"),
]

_FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "user": lambda rest: {"column": rest},
    "dirichlet": lambda rest: {"alpha": rest},
    "quantity": lambda rest: {"alpha": rest},
}
_REMEDY = "write iid, user:COLUMN, dirichlet:ALPHA or quantity:ALPHA with ALPHA above 0"


def parse_partition(text: str, *, minimum: int = 1) -> Partition:
    """The partition that `iid`, `user:COLUMN`, `dirichlet:0.5` or `quantity:0.5` names.

    Raises:
        DataError: anything else.
    """
    kind, _, rest = text.partition(":")
    fields = _FORMS[kind](rest) if kind in _FORMS else {}
    if bool(rest) != bool(fields):
        raise DataError(f"cannot read the partition {text!r}", remedy=_REMEDY)
    adapter: TypeAdapter[Partition] = TypeAdapter(Partition)
    try:
        return adapter.validate_python({"kind": kind, "minimum": minimum, **fields})
    except ValidationError as error:
        raise DataError(f"cannot read the partition {text!r}", remedy=_REMEDY) from error


def partition_rows(
    partition: Partition, rows: Rows, clients: int, seed: int
) -> list[NDArray[np.int64]]:
    """Each client's row numbers, ascending; every row goes to exactly one client.

    Raises:
        DataError: the rows do not give each of `clients` the partition's minimum, or have no
            labels or users to divide by.
    """
    return [np.sort(part) for part in partition.divide(rows, clients, seed)]
