"""The store of token ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.examples import NO_LOSS, Example
from toolkit.simulation.token_store import TokenStore

SEQUENCES = st.lists(st.lists(st.integers(0, 100_000), min_size=1, max_size=9), max_size=9)


@given(sequences=SEQUENCES)
def test_it_gives_back_what_it_was_given(sequences: list[list[int]]) -> None:
    labels = list(range(len(sequences)))
    store = TokenStore.labelled(sequences, labels)
    assert len(store) == len(sequences)
    assert [store.tokens(line).tolist() for line in labels] == sequences
    assert [store.length(line) for line in labels] == [len(one) for one in sequences]
    assert store.labels is not None
    assert store.labels.tolist() == labels
    examples = [Example(tuple(one), (NO_LOSS, *one[1:])) for one in sequences]
    causal = TokenStore.of_examples(examples)
    assert causal.labels is None
    assert [tuple(causal.targets(line)) for line in labels] == [one.targets for one in examples]


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="2 labels for 1"):
        TokenStore.labelled([[1]], [0, 1])
    with pytest.raises(ValueError, match="example 1 has no tokens"):
        TokenStore.labelled([[1], []], [0, 1])
    with pytest.raises(ValueError, match="targets"):
        TokenStore.of_examples([Example((1, 2), (3,))])
