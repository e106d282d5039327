"""Finished results that cost nothing to make."""

from __future__ import annotations

import pytest

from experiments.catalogue import experiments
from experiments.contract import RoundResult, RunResult


@pytest.fixture
def made_result():
    """A result of an experiment whose accuracy rises to `best` in five rounds."""

    def make(experiment, best=0.9):
        rounds = tuple(
            RoundResult(
                round=number,
                clients=10 * (number > 0),
                probes=100 * (number > 0),
                forward_passes=200 * (number > 0),
                backward_passes=0,
                examples=1_600 * (number > 0),
                slowest_forward=160 * (number > 0),
                slowest_backward=0,
                bytes_down=1 << 20,
                bytes_up=1 << 10,
                loss=1.0,
                accuracy=best * number / 5 if number % 2 else None,
            )
            for number in range(6)
        )
        return RunResult(
            experiment=experiment,
            parameters=1_000,
            mean_tokens=50.0,
            rounds=rounds,
            stopped=None,
            seconds=1.0,
            versions={"torch": "2"},
        )

    return make


@pytest.fixture(scope="session")
def declared():
    return experiments(quick=True)
