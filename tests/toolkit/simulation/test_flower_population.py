"""PyTorch clients in the worker processes of Flower's simulation engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from encoders import labelled_store, tuned

from toolkit.simulation.population import Population
from toolkit.simulation.run import simulate, simulate_in_processes
from toolkit.simulation.task import Loaded
from toolkit.training.contract import TrainingConfig


def load() -> Loaded:
    """Three clients of a random encoder with a head; called in the worker processes as well."""
    store = labelled_store((5, 9, 3, 12, 7, 9), seed=1)
    lines = [np.array(own) for own in ([0, 1], [2, 3], [4, 5])]
    population = Population(store, lines, labelled_store((4, 8), seed=2))
    return Loaded(tuned(), population, model_sha256="0", loss=None)


def test_a_training_run_is_the_same_as_in_one_process(tmp_path: Path) -> None:
    config = TrainingConfig(
        rounds=4, probes=12, batch=2, estimator="tangent", label_prior=0.5, seed=3
    )
    many = simulate_in_processes(load, config, tmp_path / "many", workers=2)
    one = simulate(load(), config, tmp_path / "one")
    assert not any(record.lost for record in many.rounds)
    np.testing.assert_array_equal(many.values, one.values)
    assert not np.array_equal(many.values, load().model.initial)
