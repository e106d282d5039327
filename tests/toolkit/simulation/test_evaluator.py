"""Held-out examples, evaluated in this process."""

from __future__ import annotations

import pytest

from tests.toolkit.simulation.encoders import labelled_store, some_values, tuned
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.training.evaluator import Evaluator


def test_it_evaluates_the_chosen_lines() -> None:
    model = tuned()
    values, examples = some_values(model), model.prepare(labelled_store())
    of_all: Evaluator = TorchEvaluator(model, examples)
    of_some: Evaluator = TorchEvaluator(model, examples, [2, 4])
    for evaluator, lines in ((of_all, range(6)), (of_some, [2, 4])):
        expected = model.evaluate(values, examples, lines)
        evaluated = evaluator.evaluate(values)
        assert evaluated.loss == pytest.approx(expected.loss)
        assert evaluated.accuracy == expected.accuracy
        assert evaluated.positions == len(lines)
