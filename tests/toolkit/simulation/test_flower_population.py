"""PyTorch clients in the worker processes of Flower's simulation engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from encoders import labelled_store, tuned

from toolkit.federation.simulation import simulated_flower_fleet
from toolkit.protocol.seed_book import SeedBook
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.simulation.flower_population import PopulationFactory
from toolkit.simulation.run import Population, client_names, simulate
from toolkit.simulation.torch_model import TorchModel
from toolkit.training.contract import TrainingConfig
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import run_on_fleet
from toolkit.training.setup import begin_or_continue
from toolkit.training.shares import equal_parts, shares_of


def load_population() -> tuple[TorchModel, Population]:
    """Three clients of a random encoder with a head; called in the worker processes as well."""
    store = labelled_store((5, 9, 3, 12, 7, 9), seed=1)
    lines = [np.array(own) for own in ([0, 1], [2, 3], [4, 5])]
    return tuned(), Population(store, lines, labelled_store((4, 8), seed=2))


def test_a_training_run_is_the_same_as_in_one_process(tmp_path: Path) -> None:
    model, population = load_population()
    config = TrainingConfig(rounds=4, probes=12, batch=2, estimator="tangent", seed=3)
    expected = simulate(model, population, model_sha256="0", config=config, out=tmp_path / "one")
    names = client_names(3)
    folder = RunFolder(tmp_path / "many")
    shares = shares_of(equal_parts(names, config, model.layout), dict.fromkeys(names, 2))
    begin_or_continue(
        folder,
        model_sha256="0",
        layout=model.layout,
        initial=model.initial,
        config=config,
        shares=shares,
    )
    book = SeedBook(config.seed)
    evaluator = TorchEvaluator(model, model.prepare(population.held_out))
    factory = PopulationFactory(load_population)
    with simulated_flower_fleet(factory, 3, book=book, cpus=2) as fleet:
        result = run_on_fleet(fleet, folder, evaluator=evaluator, book=book)
    np.testing.assert_array_equal(result.values, expected.values)
    assert not np.array_equal(result.values, model.initial)
    assert not any(record.lost for record in result.rounds)
