"""From files to examples: what is read, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.examples import NO_LOSS, write_examples
from toolkit.data.classification import classification_examples
from toolkit.data.language_modelling import language_modelling_examples
from toolkit.data.partition import iid_partition
from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.data.table import Rows, read_rows
from toolkit.data.verbalizer import make_verbalizer, parse_words
from toolkit.errors import DataError


def file(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    return path


def test_columns_by_name_are_joined_in_the_order_given(tmp_path):
    path = file(tmp_path, "a.csv", 'label,title,text\n1,Hello.,"World, all"\n2,,Bye\n')
    rows = read_rows(path, text_columns=["title", "text"], label_column="label")
    assert rows == Rows(texts=("Hello. World, all", "Bye"), labels=("1", "2"))


def test_columns_by_number_mean_that_the_first_line_is_data(tmp_path):
    path = file(tmp_path, "a.csv", '"3","Title","Some ""quoted"" text"\n"4","T","x"\n')
    rows = read_rows(path, text_columns=["1", "2"], label_column="0")
    assert rows == Rows(texts=('Title. Some "quoted" text', "T. x"), labels=("3", "4"))


def test_tab_separated_text_may_hold_bare_quotes(tmp_path):
    path = file(tmp_path, "a.tsv", 'text\tlabel\nhe said "no\t0\nyes\t1\n')
    rows = read_rows(path, text_columns=["text"], label_column="label")
    assert rows == Rows(texts=('he said "no', "yes"), labels=("0", "1"))


def test_json_lines_keep_their_values_as_text(tmp_path):
    path = file(tmp_path, "a.jsonl", '{"t": "007", "y": 1}\n{"t": "2020-01-01", "y": 2}\n')
    rows = read_rows(path, text_columns=["t"], label_column="y")
    assert rows == Rows(texts=("007", "2020-01-01"), labels=("1", "2"))


def test_words_that_look_like_missing_values_are_text(tmp_path):
    path = file(tmp_path, "a.csv", "text,label\nNA,null\nnone,1\n")
    assert read_rows(path, text_columns=["text"], label_column="label").labels == ("null", "1")


def test_rows_without_text_are_skipped(tmp_path):
    path = file(tmp_path, "a.csv", "text,label\n  ,1\nx,2\n")
    rows = read_rows(path, text_columns=["text"], label_column="label")
    assert rows == Rows(texts=("x",), labels=("2",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.csv", "title,label\nx,1\n", "columns are title, label"),
        ("a.csv", "text,label\nx,\n", "row 1 has no label"),
        ("a.csv", 'text,label\n"x,1\n', "malformed"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text"\n', "malformed"),
        ("a.jsonl", '{"text": "x"}\n', "no column label"),
        ("a.pdf", "x", "what kind of file"),
    ],
)
def test_faulty_files_are_refused_by_what_is_wrong(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message) as raised:
        read_rows(file(tmp_path, name, content), text_columns=["text"], label_column="label")
    assert raised.value.file == tmp_path / name


def test_a_missing_file_and_bytes_that_are_not_text_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_rows(tmp_path / "absent.csv", text_columns=["text"])
    (tmp_path / "b.csv").write_bytes(b"text\n\xff\xfe\xfa\n")
    with pytest.raises(DataError, match="malformed"):
        read_rows(tmp_path / "b.csv", text_columns=["text"])


def test_ag_news_reads_by_column_number(shared_data):
    path = shared_data / "ag_news" / "test.csv"
    rows = read_rows(path, text_columns=["1", "2"], label_column="0")
    assert len(rows.texts) == 7600
    assert set(rows.labels) == {"1", "2", "3", "4"}
    assert rows.texts[0].startswith("Fears for T N pension after talks. Unions representing")


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


def test_language_modelling_predicts_every_next_token(tokenizer):
    example = language_modelling_examples(["the striker scored a goal"], tokenizer, max_tokens=4)[0]
    ids = tokenizer("the striker scored a goal")["input_ids"]
    assert example.tokens == tuple(ids[:4])
    assert example.targets == tuple(ids[1:5])


def test_texts_too_short_to_predict_are_refused(tokenizer):
    with pytest.raises(DataError, match="long enough"):
        language_modelling_examples([""], tokenizer, max_tokens=4)


def test_the_examples_file_is_json_lines(tmp_path, tokenizer):
    examples = language_modelling_examples(["goal", "the match"], tokenizer, max_tokens=4)
    write_examples(tmp_path / "e.jsonl", examples)
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [tuple(line["tokens"]) for line in lines] == [e.tokens for e in examples]
    assert [tuple(line["targets"]) for line in lines] == [e.targets for e in examples]


@given(st.integers(1, 30), st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_a_partition_is_even_and_complete(devices, extra, seed):
    parts = iid_partition(devices + extra, devices, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(devices + extra))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_partition_follows_its_seed():
    first, again, other = (iid_partition(100, 3, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_more_devices_than_examples_are_refused():
    with pytest.raises(DataError, match="2 examples"):
        iid_partition(2, 3, 0)
