"""Rules typed as options."""

from __future__ import annotations

import pytest
import typer

from toolkit.cli.rules import rule
from toolkit.pacing.rules import Pacing
from toolkit.pacing.slope_test import SlopeTest
from toolkit.sampling.rules import Sampling
from toolkit.sampling.tensor_filter import TensorFilter
from toolkit.server_update.rules import UpdateRule
from toolkit.server_update.sgd import SgdStep


@pytest.mark.parametrize(
    ("kinds", "text", "expected"),
    [
        (UpdateRule, "sgd:rate=0.5,annealing=none", SgdStep(rate=0.5, annealing="none")),
        (Sampling, "tensor-filter:every=2", TensorFilter(every=2)),
        (Pacing, "slope-test:most-increments=3", SlopeTest(most_increments=3)),
        (Pacing, "slope_test", SlopeTest()),
    ],
)
def test_a_rule_is_what_was_typed(kinds: object, text: str, expected: object) -> None:
    assert rule(kinds, text) == expected


def test_no_text_is_no_rule() -> None:
    assert rule(Pacing, None) is None


@pytest.mark.parametrize("text", ["", "sgd:rate", "sgd:rate=x", "sgd:size=1", "none"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        rule(UpdateRule, text)
