"""From files and datasets to rows of text: what is read, what is refused."""

from __future__ import annotations

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from toolkit.data.source import HubDataset, parse_source
from toolkit.data.table import Rows, read_rows
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


TOPICS = ["World", "Sports"]


@pytest.fixture
def topics():
    """Two rows of known class and one of none, as `datasets` marks it."""
    return Dataset.from_dict(
        {"text": ["a war", "a goal", " "], "topic": [0, 1, -1], "by": [7, 8, 9]},
        features=Features(
            {"text": Value("string"), "topic": ClassLabel(names=TOPICS), "by": Value("int64")}
        ),
    )


EXPECTED = Rows(("a war", "a goal"), labels=("World", "Sports"), users=("7", "8"))


def read_topics(source):
    return read_rows(source, text_columns=["text"], label_column="topic", user_column="by")


def test_a_saved_dataset_reads_with_the_names_of_its_classes(tmp_path, topics):
    topics.save_to_disk(tmp_path / "topics")
    assert read_topics(tmp_path / "topics") == EXPECTED


def test_a_parquet_file_keeps_the_names_of_a_datasets_classes(tmp_path, topics):
    topics.to_parquet(tmp_path / "topics.parquet")
    assert read_topics(tmp_path / "topics.parquet") == EXPECTED


def test_a_parquet_file_of_another_writer_reads_as_text(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame(
        {"t": ["x", None, "y"], "y": pd.Series([1, 2, 3], dtype="Int64"), "n": [1.5, 2, 3]}
    ).to_parquet(path)
    assert read_rows(path, text_columns=["t"], label_column="y").labels == ("1", "3")


def test_an_integer_column_with_gaps_keeps_its_integers(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"t": ["x", ""], "y": pd.Series([4, None], dtype="Int64")}).to_parquet(path)
    assert read_rows(path, text_columns=["t"], label_column="y").labels == ("4",)


def test_a_parquet_file_without_the_column_lists_those_it_has(tmp_path, topics):
    topics.to_parquet(tmp_path / "topics.parquet")
    with pytest.raises(DataError, match="columns are text, topic, by"):
        read_rows(tmp_path / "topics.parquet", text_columns=["title"])


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    with pytest.raises(DataError, match="malformed"):
        read_rows(file(tmp_path, "a.parquet", "text\nx\n"), text_columns=["text"])


def test_a_row_of_unknown_class_is_refused(tmp_path, topics):
    topics.add_item({"text": "what", "topic": -1, "by": 1}).save_to_disk(tmp_path / "topics")
    with pytest.raises(DataError, match="row 4 has no label"):
        read_topics(tmp_path / "topics")


def test_a_row_without_user_is_refused(tmp_path):
    path = file(tmp_path, "a.csv", "text,by\nx,ann\ny,\n")
    with pytest.raises(DataError, match="row 2 has no user"):
        read_rows(path, text_columns=["text"], user_column="by")


def test_of_several_splits_one_must_be_chosen(tmp_path, topics):
    folder = tmp_path / "all"
    DatasetDict({"train": topics, "test": topics}).save_to_disk(folder)
    with pytest.raises(DataError, match="splits train, test") as raised:
        read_topics(folder)
    assert str(folder / "train") in str(raised.value.remedy)
    assert read_topics(folder / "train") == EXPECTED


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a dataset"):
        read_rows(tmp_path, text_columns=["text"])


def test_sources_are_told_apart(tmp_path):
    assert parse_source(str(tmp_path)) == tmp_path
    assert parse_source("hf:a/b:train") == HubDataset("a/b", "train")
    assert parse_source("hf:a/b:c:train") == HubDataset("a/b", "train", "c")
    assert str(parse_source("hf:a/b:c:train")) == "hf:a/b:c:train"


@pytest.mark.parametrize("text", ["hf:", "hf:a/b", "hf:a/b:", "hf:a:b:c:d"])
def test_malformed_names_of_the_hub_are_refused(text):
    with pytest.raises(DataError, match="cannot read the dataset"):
        parse_source(text)


def test_a_dataset_of_the_hub_loads_by_name_and_split(monkeypatch, topics):
    asked = []

    def load_dataset(*args, **options):
        asked.append((args, options))
        return topics

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert read_topics(HubDataset("who/topics", "train")) == EXPECTED
    assert asked == [(("who/topics", None), {"split": "train"})]


def test_a_dataset_that_the_hub_refuses_is_refused_by_name(monkeypatch):
    def load_dataset(*args, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(DataError, match="cannot load hf:a/b:train: no route"):
        read_topics(HubDataset("a/b", "train"))
