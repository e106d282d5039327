"""Templates around a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.errors import DataError


@pytest.fixture
def prompt(tokenizer):
    return Prompt(DEFAULT_TEMPLATE, tokenizer)


@given(length=st.integers(1, 60), limit=st.integers(12, 40))
def test_a_long_text_is_cut_but_the_prompt_after_it_stays(tokenizer, length, limit):
    prompt = Prompt(DEFAULT_TEMPLATE, tokenizer)
    ids = prompt.encode("goal " * length, limit)
    assert len(ids) <= limit
    assert ids[-len(prompt.tail) :] == prompt.tail
    assert tokenizer.decode(prompt.tail) == "\nTopic:"


@pytest.mark.parametrize("template", ["no field", "{text}", "{text} {text} x", "Topic: {text}  "])
def test_templates_that_leave_no_label_position_are_refused(tokenizer, template):
    with pytest.raises(DataError, match="template"):
        Prompt(template, tokenizer)


def test_too_few_tokens_for_the_prompt_are_refused(prompt):
    with pytest.raises(DataError, match="leave no room"):
        prompt.encode("x", len(prompt.tail) + 1)
