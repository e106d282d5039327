"""Label shares in a client's loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.examples import NO_LOSS, Example
from android_harness.job import VerbalizerLoss, VocabularyLoss
from toolkit.data.label_prior import log_shares, loss_with_prior

TOKENS = (30, 10, 20)


def example(label: int) -> Example:
    return Example(tokens=(1, 2), targets=(NO_LOSS, label))


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=20))
def test_shares_are_a_distribution_in_the_order_of_the_counts(counts: list[int]) -> None:
    shares = np.exp(log_shares(counts))
    assert shares.sum() == pytest.approx(1.0)
    assert (shares > 0).all()
    assert np.array_equal(np.argsort(counts, kind="stable"), np.argsort(shares, kind="stable"))


def test_each_token_is_shifted_by_its_own_share() -> None:
    examples = [example(10)] * 4 + [example(20)]
    loss = loss_with_prior(VerbalizerLoss(tokens=TOKENS), examples, 0.5)
    assert isinstance(loss, VerbalizerLoss)
    assert loss.tokens == TOKENS
    assert loss.shifts == pytest.approx(0.5 * np.log([0.5 / 6.5, 4.5 / 6.5, 1.5 / 6.5]))


def test_a_balanced_client_is_shifted_alike_everywhere() -> None:
    loss = loss_with_prior(VerbalizerLoss(tokens=TOKENS), [example(token) for token in TOKENS], 1.0)
    assert isinstance(loss, VerbalizerLoss)
    assert loss.shifts == pytest.approx([np.log(1 / 3)] * 3)


def test_nothing_changes_without_strength_or_labels() -> None:
    verbalizer = VerbalizerLoss(tokens=TOKENS)
    assert loss_with_prior(verbalizer, [example(10)], 0.0) == verbalizer
    assert loss_with_prior(VocabularyLoss(), [example(10)], 1.0) == VocabularyLoss()
