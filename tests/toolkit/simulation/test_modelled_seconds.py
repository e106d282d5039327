"""Simulated clients are as slow as the devices of a population."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_bench.population.kinds import PopulationRule, phone_kinds
from device_bench.population.phone_classes import phone_classes
from device_bench.population.population import population
from device_bench.profiles.profile_files import write_profiles
from exporters.lora.support import Support
from tests.toolkit.made_profiles import profile
from toolkit.data.partition_even import IidPartition
from toolkit.data.table import Rows
from toolkit.data.task import TextSource
from toolkit.protocol.order import CatchUp, Order, Probes
from toolkit.simulation.population import client_names
from toolkit.simulation.task import SimulatedData
from toolkit.simulation.token_store import TokenStore

CLIENTS = 4
ORDER = Order(
    round_number=1,
    increment=0,
    version=0,
    sync=CatchUp(0, ()),
    values_sha256="",
    batch=(0, 1, 2, 3),
    estimator="central",
    epsilon=1e-2,
    probes=Probes((11, 12, 13), "rademacher", Support(), 1),
)


def test_each_client_has_the_pace_of_a_line(tmp_path: Path) -> None:
    classes = phone_classes()
    base = profile("adb:BASE").model_copy(update={"device": classes["high-2018"]})
    rule = PopulationRule()
    kinds, _ = phone_kinds([base], classes, rule)
    devices = list(population(kinds, CLIENTS, rule, seed=0))
    path = tmp_path / "fleet.jsonl"
    write_profiles(path, devices)
    data = SimulatedData(
        source=TextSource(Path("rows.csv"), text_columns=("0",)),
        clients=CLIENTS,
        partition=IidPartition(),
        held_out=0,
        held_out_path=None,
        max_tokens=32,
        most_examples=None,
        seed=0,
        profiles=(path,),
    )
    store = TokenStore.labelled([[1] * 32] * 8, [0] * 8)
    seconds = data.population(Rows(("text",) * 8), store, store).options.seconds
    assert seconds is not None

    for name, device in zip(client_names(CLIENTS), devices, strict=True):
        (backend,) = device.backends
        hot = backend.sustained_factor
        assert hot is not None
        expected = 3 * hot.value * backend.arms[0].seconds_per_probe.value
        assert seconds(name, ORDER) == pytest.approx(expected)
