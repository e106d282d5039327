"""From rows to what is learnt and what is held out."""

from __future__ import annotations

import pytest

from android_harness.examples import write_examples
from toolkit.data.head_classification import class_examples
from toolkit.data.language_modelling import language_modelling_examples
from toolkit.data.table import Rows
from toolkit.data.task import TextSource, load_head_task, load_task
from toolkit.errors import DataError


def test_language_modelling_predicts_every_next_token(tokenizer):
    example = language_modelling_examples(["the striker scored a goal"], tokenizer, max_tokens=4)[0]
    ids = tokenizer("the striker scored a goal")["input_ids"]
    assert example.tokens == tuple(ids[:4])
    assert example.targets == tuple(ids[1:5])


def test_rows_stay_beside_their_examples_where_short_texts_are_left_out(tmp_path, tokenizer):
    path = tmp_path / "a.csv"
    lines = [f"{'goal ' * (number % 2 * 4)}x,u{number}" for number in range(20)]
    path.write_text("text,by\n" + "\n".join(lines) + "\n")
    task = load_task(
        TextSource(path, ["text"], user_column="by"), tokenizer, held_out=4, max_tokens=30
    )
    assert 0 < len(task.examples) < 16
    for example, text, user in zip(task.examples, task.rows.texts, task.rows.users, strict=True):
        assert example.tokens == tuple(tokenizer(text)["input_ids"][:-1])
        assert int(user[1:]) % 2 == 1


def test_texts_too_short_to_predict_are_refused(tmp_path, tokenizer):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x\n" * 5)
    with pytest.raises(DataError, match="long enough"):
        load_task(TextSource(path, ["text"]), tokenizer, held_out=1, max_tokens=4)


def test_a_task_keeps_the_labels_of_the_rows_that_it_learns(table, tokenizer):
    task = load_task(
        TextSource(table, ["title", "text"], "label"),
        tokenizer,
        held_out=8,
        max_tokens=40,
        most_examples=20,
    )
    assert len(task.examples) == len(task.rows) == 20
    assert len(task.held_out) == 8
    for example, label in zip(task.examples, task.rows.labels, strict=True):
        assert example.target_ids == (task.verbalizer.tokens[label],)


def test_held_out_rows_may_come_from_elsewhere(table, tmp_path, tokenizer):
    other = tmp_path / "other.csv"
    other.write_text("label,title,text\narts,A song,The singer sang.\n")
    task = load_head_task(
        TextSource(table, ["title", "text"], "label"),
        tokenizer,
        held_out=8,
        held_out_path=other,
        max_tokens=40,
    )
    assert len(task.held_out) == 1
    assert task.classes == ("arts", "business", "sports")


def test_holding_out_everything_is_refused(table, tokenizer):
    with pytest.raises(DataError, match="leaves none") as raised:
        load_task(TextSource(table, ["text"], "label"), tokenizer, held_out=48, max_tokens=40)
    assert raised.value.file == table


def test_a_head_learns_class_numbers(table, tokenizer):
    task = load_head_task(
        TextSource(table, ["title", "text"], "label"), tokenizer, held_out=8, max_tokens=6
    )
    assert len(task.examples) == 40
    assert len(task.held_out) == 8
    for example, text, label in zip(task.examples, task.rows.texts, task.rows.labels, strict=True):
        assert task.classes[example.label] == label
        assert example.tokens == tuple(tokenizer(text)["input_ids"][:6])


def test_a_head_and_a_verbalizer_learn_the_same_rows(table, tokenizer):
    source = TextSource(table, ["title", "text"], "label")
    of_head = load_head_task(source, tokenizer, held_out=8, max_tokens=40, seed=5)
    of_prompt = load_task(source, tokenizer, held_out=8, max_tokens=40, seed=5)
    assert of_head.rows == of_prompt.rows


def test_one_label_is_not_a_task_for_a_head(tmp_path, tokenizer):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,1\ny,1\n")
    with pytest.raises(DataError, match="at least two labels"):
        load_head_task(TextSource(path, ["text"], "label"), tokenizer, held_out=1, max_tokens=9)


def test_a_label_that_is_no_class_is_refused(tokenizer):
    with pytest.raises(DataError, match="the label c is not one"):
        class_examples(Rows(("x",), ("c",)), ["a", "b"], tokenizer, max_tokens=9)


def test_texts_without_labels_are_no_class_examples(tokenizer):
    with pytest.raises(DataError, match="needs a label column"):
        class_examples(Rows(("x",)), ["a", "b"], tokenizer, max_tokens=9)


def test_the_examples_file_is_json_lines(tmp_path, tokenizer):
    import json

    found = language_modelling_examples(["goal", "the match"], tokenizer, max_tokens=4)
    examples = list(found.values())
    write_examples(tmp_path / "e.jsonl", examples)
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [tuple(line["tokens"]) for line in lines] == [e.tokens for e in examples]
    assert [tuple(line["targets"]) for line in lines] == [e.targets for e in examples]


def test_an_encoders_examples_carry_their_class_at_the_first_token(table, tokenizer):
    source = TextSource(table, ["title", "text"], "label")
    head = load_head_task(source, tokenizer, held_out=8, max_tokens=12, seed=3)
    task = load_task(
        source, tokenizer, held_out=8, max_tokens=12, seed=3, classes=len(head.classes)
    )
    assert task.verbalizer is None and len(task.held_out) == 8
    for example, expected in zip(task.examples, head.examples, strict=True):
        assert example.tokens == expected.tokens
        assert example.targets[0] == expected.label
        assert example.target_ids == (expected.label,)


def test_labels_that_are_no_classes_of_the_encoder_are_refused(table, tokenizer):
    with pytest.raises(DataError, match="the model has 9 classes") as caught:
        load_task(
            TextSource(table, ["text"], "label"), tokenizer, held_out=8, max_tokens=12, classes=9
        )
    assert "--classes" in caught.value.remedy
