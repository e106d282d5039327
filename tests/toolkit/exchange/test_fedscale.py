"""The table that FedScale loads."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.toolkit.made_profiles import cost, interval, profile
from toolkit.exchange.errors import ExchangeError
from toolkit.exchange.fedscale import client_capacities, write_client_capacities


def test_fedscale_finds_every_client_in_the_pickle(tmp_path: Path) -> None:
    profiles = [profile("a", seconds=1.0), profile("b", seconds=3.0)]
    capacities = client_capacities(
        profiles, batch=4, tokens=32, kbit_per_s=1000.0, kbit_per_s_of={"b": 250.0}
    )
    path = tmp_path / "client_device_capacity"
    readable = write_client_capacities(path, capacities)

    table = pickle.loads(path.read_bytes())
    # A central probe is two passes: half of its seconds, over 4 examples.
    assert table == {
        0: {"computation": pytest.approx(125.0), "communication": 1000.0},
        1: {"computation": pytest.approx(375.0), "communication": 250.0},
    }
    # As its client manager looks them up, from client 1 on.
    assert [table.get(client % len(table)) for client in (1, 2)] == [table[1], table[0]]
    shown = json.loads(readable.read_text())
    assert [(number, each["target"]) for number, each in shown.items()] == [("0", "a"), ("1", "b")]


def test_a_hot_phone_is_slower() -> None:
    cold, hot = client_capacities(
        [profile("a"), profile("b", sustained=interval(1.5))], batch=4, tokens=32, kbit_per_s=1.0
    )
    assert hot.computation == pytest.approx(1.5 * cold.computation)


def test_what_a_profile_does_not_tell_is_not_made_up() -> None:
    setting = {"batch": 4, "tokens": 32, "kbit_per_s": 1.0}
    with pytest.raises(ExchangeError, match="a does not tell what a forward pass costs"):
        client_capacities([profile("a", differences=False, tangents=cost(1.0))], **setting)
    with pytest.raises(ExchangeError, match="a does not tell"):
        client_capacities([profile("a", verdict="invalid")], **setting)
    with pytest.raises(ExchangeError, match="network speed for b"):
        client_capacities([profile("a")], **setting, kbit_per_s_of={"b": 1.0})
