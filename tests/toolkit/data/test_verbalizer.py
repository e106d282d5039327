"""Labels as tokens, and the examples made of them."""

from __future__ import annotations

import pytest

from android_harness.examples import NO_LOSS
from toolkit.data.classification import classification_examples
from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.data.table import Rows
from toolkit.data.verbalizer import make_verbalizer, parse_words
from toolkit.errors import DataError


@pytest.fixture
def prompt(tokenizer):
    return Prompt(DEFAULT_TEMPLATE, tokenizer)


def test_chosen_words_become_their_first_token(tokenizer, prompt):
    words = {"1": "World", "2": "Sports"}
    verbalizer = make_verbalizer(["1", "2", "1"], prompt, tokenizer, words)
    pieces = tokenizer.convert_ids_to_tokens([verbalizer.tokens[label] for label in "12"])
    assert all(f" {words[label]}".startswith(tokenizer.decode(verbalizer.tokens[label]))
               for label in "12")  # fmt: skip
    assert len(set(pieces)) == 2


def test_words_that_begin_alike_are_refused_by_name(tokenizer, prompt):
    with pytest.raises(DataError, match=r"'Zebra' \(label a\) and 'Zoo' \(label b\)"):
        make_verbalizer(["a", "b"], prompt, tokenizer, {"a": "Zebra", "b": "Zoo"})


def test_a_label_without_a_word_is_refused(tokenizer, prompt):
    with pytest.raises(DataError, match="no word for the label b"):
        make_verbalizer(["a", "b"], prompt, tokenizer, {"a": "World"})


def test_one_label_is_not_a_classification(tokenizer, prompt):
    with pytest.raises(DataError, match="at least two labels"):
        make_verbalizer(["a", "a"], prompt, tokenizer)


@pytest.mark.parametrize("labels", [["World", "Sports"], list("1234"), ["zx", "zy", "zz"]])
def test_without_words_distinct_tokens_are_found(tokenizer, prompt, labels):
    verbalizer = make_verbalizer(labels, prompt, tokenizer)
    assert sorted(verbalizer.tokens) == sorted(labels)
    assert len(set(verbalizer.tokens.values())) == len(labels)


def test_more_labels_than_word_tokens_are_refused(tokenizer, prompt):
    with pytest.raises(DataError, match="distinct tokens"):
        make_verbalizer([f"zz{n}" for n in range(400)], prompt, tokenizer)


def test_words_are_parsed():
    assert parse_words("1=World, 2=Sports") == {"1": "World", "2": "Sports"}


@pytest.mark.parametrize("text", ["", "1", "1=", "=a", "1=a,1=b"])
def test_malformed_words_are_refused(text):
    with pytest.raises(DataError, match="cannot read"):
        parse_words(text)


def test_classification_predicts_the_label_alone(tokenizer, prompt):
    rows = Rows(texts=("goal " * 50, "bank"), labels=("s", "b"))
    verbalizer = make_verbalizer(["s", "b"], prompt, tokenizer, {"s": "Sports", "b": "Business"})
    for example, label in zip(
        classification_examples(rows, prompt, verbalizer, max_tokens=20), "sb", strict=True
    ):
        assert len(example.tokens) == len(example.targets) <= 20
        assert set(example.targets[:-1]) == {NO_LOSS}
        assert example.target_ids == (verbalizer.tokens[label],)


def test_a_label_that_the_verbalizer_lacks_is_refused(tokenizer, prompt):
    verbalizer = make_verbalizer(["a", "b"], prompt, tokenizer)
    with pytest.raises(DataError, match="no token for the label c"):
        classification_examples(Rows(("x",), ("c",)), prompt, verbalizer, max_tokens=20)
