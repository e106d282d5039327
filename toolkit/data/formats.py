"""Tables of text cells from CSV, TSV, JSON Lines and Parquet files and from datasets."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from toolkit.data.source import DataSource, HubDataset
from toolkit.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, Features

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class TextTable:
    """Named columns; `read` returns a column's cells as text, absent ones as blank."""

    columns: tuple[str, ...]
    read: Callable[[str], list[str]]


def open_table(source: DataSource, *, numbered: bool) -> TextTable:
    """Opens a source.

    Args:
        numbered: a CSV or TSV file has no header, its columns are counted from 0.

    Raises:
        DataError: the source is missing, malformed, empty or of another kind.
    """
    if isinstance(source, HubDataset):
        return _of_dataset(_load_from_hub(source))
    if source.is_dir():
        return _of_dataset(_load_from_folder(source))
    suffix = source.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(
            f"cannot tell what kind of file this is from its name (suffix {suffix or 'none'})",
            remedy=f"give a file that ends in {', '.join(_SUFFIXES)}, or a dataset's folder",
            file=source,
        )
    try:
        if suffix == ".parquet":
            return _read_parquet(source)
        if suffix in (".csv", ".tsv"):
            return _of_frame(_read_separated(source, tabs=suffix == ".tsv", header=not numbered))
        return _of_frame(_read_json_lines(source))
    except pa.ArrowInvalid as error:
        raise DataError(f"the file is malformed: {error}", file=source) from error
    except OSError as error:
        raise DataError(f"cannot read the data: {error.strerror or error}", file=source) from error
    except pd.errors.EmptyDataError as error:
        raise DataError("the file is empty", file=source) from error
    except (ValueError, csv.Error) as error:  # ParserError and UnicodeDecodeError are ValueErrors
        raise DataError(f"the file is malformed: {error}", file=source) from error


def _read_separated(path: Path, *, tabs: bool, header: bool) -> pd.DataFrame:
    # Tab-separated corpora hold bare quotation marks; in comma-separated ones quotes enclose cells.
    return pd.read_csv(
        path,
        sep="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        header=0 if header else None,
        dtype=str,
        keep_default_na=False,
        index_col=False,
    )


def _read_json_lines(path: Path) -> pd.DataFrame:
    # Without pandas' own reader, which turns integers into floats where a row lacks a value.
    with path.open(encoding="utf-8-sig") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is not an object")
    return pd.DataFrame(rows, dtype=object)


def _read_parquet(path: Path) -> TextTable:
    file = pyarrow.parquet.ParquetFile(path)
    schema = file.schema_arrow
    features: Features | None = None
    if b"huggingface" in (schema.metadata or {}):
        from datasets import Features

        features = Features.from_arrow_schema(schema)
    return TextTable(
        columns=tuple(schema.names),
        read=lambda name: _texts(
            file.read(columns=[name]).column(0).to_pylist(), _class_names(features, name)
        ),
    )


def _load_from_folder(folder: Path) -> Dataset:
    from datasets import DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(folder))
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(
            "this folder is not a dataset that `datasets` saved",
            remedy="save one with Dataset.save_to_disk, or give a file",
            file=folder,
        ) from error
    if isinstance(loaded, DatasetDict):
        raise DataError(
            f"this dataset has the splits {', '.join(loaded)}",
            remedy=f"give the folder of one of them, e.g. {folder / next(iter(loaded))}",
            file=folder,
        )
    return loaded


def _load_from_hub(source: HubDataset) -> Dataset:
    from datasets import load_dataset

    try:
        return load_dataset(source.name, source.config, split=source.split)
    # Whatever stands between here and the hub raises errors of its own.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot load {source}: {reason}",
            remedy="check the name, the split and the connection, or give a file",
        ) from error


def _of_dataset(dataset: Dataset) -> TextTable:
    return TextTable(
        columns=tuple(dataset.column_names),
        read=lambda name: _texts(dataset[name], _class_names(dataset.features, name)),
    )


def _of_frame(frame: pd.DataFrame) -> TextTable:
    frame.columns = [str(name) for name in frame.columns]
    return TextTable(columns=tuple(frame.columns), read=lambda name: _texts(frame[name]))


def _class_names(features: Features | None, column: str) -> Sequence[str] | None:
    """The names of a column of class numbers; None for any other column."""
    from_features: Any = None if features is None else features.get(column)
    names: Sequence[str] | None = getattr(from_features, "names", None)
    return names


def _texts(cells: Iterable[object], names: Sequence[str] | None = None) -> list[str]:
    if names is None:
        return [_text(cell) for cell in cells]
    # -1 is how datasets mark rows whose class is not known.
    return [
        names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else "" for cell in cells
    ]


def _text(cell: object) -> str:
    """A cell as text; absent ones (None, NaN) as blank."""
    if isinstance(cell, str):
        return cell
    return "" if cell is None or cell != cell else str(cell)
