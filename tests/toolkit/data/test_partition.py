"""Dividing rows over clients: complete, of the sizes asked for, and by the seed alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.data.partition import parse_partition, partition_rows
from toolkit.data.partition_even import IidPartition
from toolkit.data.partition_skewed import DirichletPartition, QuantityPartition
from toolkit.data.partition_users import UserPartition
from toolkit.data.table import Rows
from toolkit.errors import DataError

NAMES = ["iid", "user:by", "dirichlet:0.5", "quantity:0.5"]


def rows_of(count, labels=3, users=5):
    return Rows(
        texts=("x",) * count,
        labels=tuple(str(row % labels) for row in range(count)),
        users=tuple(str(row * row % users) for row in range(count)),
    )


@given(
    name=st.sampled_from(["iid", "dirichlet:0.01", "dirichlet:10", "quantity:0.05", "quantity:9"]),
    clients=st.integers(1, 20),
    minimum=st.integers(1, 4),
    extra=st.integers(0, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_row_goes_to_one_client_and_each_has_its_minimum(name, clients, minimum, extra, seed):
    rows = rows_of(clients * minimum + extra)
    parts = partition_rows(parse_partition(name, minimum=minimum), rows, clients, seed)
    assert len(parts) == clients
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    assert min(map(len, parts)) >= minimum
    assert all(np.all(np.diff(part) > 0) for part in parts)


@given(st.integers(1, 30), st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_an_iid_partition_is_even(clients, extra, seed):
    sizes = [
        len(p) for p in partition_rows(IidPartition(), rows_of(clients + extra), clients, seed)
    ]
    assert max(sizes) - min(sizes) <= 1


@given(
    users=st.lists(st.integers(0, 12), min_size=1, max_size=120),
    clients=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_a_user_belongs_to_one_client(users, clients, seed):
    rows = Rows(("x",) * len(users), users=tuple(map(str, users)))
    partition = UserPartition(column="by")
    if len(set(users)) < clients:
        with pytest.raises(DataError, match="users cannot be divided"):
            partition_rows(partition, rows, clients, seed)
        return
    parts = partition_rows(partition, rows, clients, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(users)))
    owners = [{users[row] for row in part} for part in parts]
    assert sum(map(len, owners)) == len(set(users))


def test_users_are_dealt_so_that_clients_are_even():
    users = ("a",) * 50 + tuple("bcdef") * 10
    parts = partition_rows(UserPartition(column="by"), Rows(("x",) * 100, users=users), 2, 0)
    assert [len(part) for part in parts] == [50, 50]


@pytest.mark.parametrize("name", NAMES)
def test_a_partition_follows_its_seed(name):
    rows = rows_of(100, users=40)
    first, again, other = (
        partition_rows(parse_partition(name), rows, 3, seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_labels_are_the_more_skewed_the_smaller_alpha_is():
    rows = rows_of(4000, labels=4)
    labels = np.array(rows.labels, dtype=int)

    def skew(alpha):
        """The mean over rows of how far the client's mixture is from the whole one."""
        parts = partition_rows(DirichletPartition(alpha=alpha), rows, 20, 0)
        shares = [np.bincount(labels[part], minlength=4) / len(part) for part in parts]
        return sum(np.abs(s - 0.25).sum() * len(p) for s, p in zip(shares, parts, strict=True))

    assert all(more > less for more, less in pairwise(map(skew, (0.02, 0.2, 2.0, 200.0))))


def test_sizes_are_the_more_unequal_the_smaller_alpha_is():
    def spread(alpha):
        parts = partition_rows(QuantityPartition(alpha=alpha), rows_of(4000), 20, 0)
        return np.std([len(part) for part in parts])

    assert all(more > less for more, less in pairwise(map(spread, (0.02, 0.2, 2.0, 200.0))))


@pytest.mark.parametrize("name", ["iid", "dirichlet:1", "quantity:1"])
def test_too_few_rows_are_refused(name):
    with pytest.raises(DataError, match=r"11 examples .* 3 clients with 4") as raised:
        partition_rows(parse_partition(name, minimum=4), rows_of(11), 3, 0)
    assert "fewer clients" in raised.value.remedy


def test_users_with_too_few_rows_are_refused():
    rows = Rows(("x",) * 5, users=("a", "a", "a", "a", "b"))
    with pytest.raises(DataError, match="1 rows of its users, fewer than 2") as raised:
        partition_rows(UserPartition(column="by", minimum=2), rows, 2, 0)
    assert "fewer clients" in raised.value.remedy


def test_rows_without_what_the_rule_divides_by_are_refused():
    with pytest.raises(DataError, match="without the user column by"):
        partition_rows(UserPartition(column="by"), Rows(("x",)), 1, 0)
    with pytest.raises(DataError, match="needs labels"):
        partition_rows(DirichletPartition(alpha=1), Rows(("x",)), 1, 0)


def test_names_are_parsed():
    assert parse_partition("iid") == IidPartition()
    assert parse_partition("user:who wrote", minimum=2) == UserPartition(
        column="who wrote", minimum=2
    )
    assert parse_partition("dirichlet:0.5") == DirichletPartition(alpha=0.5)
    assert parse_partition("quantity:2") == QuantityPartition(alpha=2)


@pytest.mark.parametrize(
    "text", ["", "iid:1", "user", "user:", "dirichlet", "dirichlet:x", "dirichlet:-1", "quantity:0",
             "dirichlet:inf", "dirichlet:nan", "shards:2"]
)  # fmt: skip
def test_malformed_names_are_refused_with_the_forms(text):
    with pytest.raises(DataError, match="cannot read the partition") as raised:
        parse_partition(text)
    assert "dirichlet:ALPHA" in raised.value.remedy
