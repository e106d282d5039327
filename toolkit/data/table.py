"""Reading rows of text (and labels) from CSV, TSV and JSON Lines files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from toolkit.errors import DataError

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Rows:
    """One text per row, and one label per row where a label column was named."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None


def read_rows(
    path: Path,
    *,
    text_columns: Sequence[str],
    label_column: str | None = None,
) -> Rows:
    """Reads the named columns; several text columns are joined in the order given.

    A CSV or TSV file has a header unless every named column is a number: then columns are
    counted from 0 and the first line is data. Values are taken as text. Rows whose texts are all
    blank are skipped.

    Raises:
        DataError: the file is missing, malformed, of another kind or has no rows; a column does
            not exist (the message lists those that do); a row has no label.
    """
    columns = [*text_columns, *([label_column] if label_column is not None else [])]
    if not text_columns:
        raise DataError("name at least one text column", file=path)
    table = _read_table(path, numbered=all(name.isdecimal() for name in columns))
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"there is no column {', '.join(missing)}; the columns are "
            f"{', '.join(str(name) for name in table.columns)}",
            remedy="name existing columns, or number them from 0 when the file has no header",
            file=path,
        )
    texts = [_joined(parts) for parts in zip(*(table[name] for name in text_columns), strict=True)]
    kept = [row for row, text in enumerate(texts) if text]
    if not kept:
        raise DataError("the file has no rows with text", file=path)
    labels = None
    if label_column is not None:
        labels = [label.strip() for label in table[label_column]]
        blank = next((row for row in kept if not labels[row]), None)
        if blank is not None:
            raise DataError(f"row {blank + 1} has no label", file=path)
    return Rows(
        texts=tuple(texts[row] for row in kept),
        labels=None if labels is None else tuple(labels[row] for row in kept),
    )


def _joined(parts: Iterable[str]) -> str:
    """The parts that are not blank as one text, a full stop between those that lack an end."""
    text = ""
    for part in (" ".join(part.split()) for part in parts):
        if text and part:
            text += " " if text[-1] in ".!?" else ". "
        text += part
    return text


def _read_table(path: Path, *, numbered: bool) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(
            f"cannot tell what kind of file this is from its name (suffix {suffix or 'none'})",
            remedy=f"give a file that ends in {', '.join(_SUFFIXES)}",
            file=path,
        )
    try:
        if suffix in (".csv", ".tsv"):
            table = _read_separated(path, tabs=suffix == ".tsv", header=not numbered)
        else:
            table = _read_json_lines(path)
    except OSError as error:
        raise DataError(f"cannot read the data: {error.strerror or error}", file=path) from error
    except pd.errors.EmptyDataError as error:
        raise DataError("the file is empty", file=path) from error
    except (ValueError, csv.Error) as error:  # ParserError and UnicodeDecodeError are ValueErrors
        raise DataError(f"the file is malformed: {error}", file=path) from error
    table.columns = [str(name) for name in table.columns]
    return table.reset_index(drop=True).map(_as_text)


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


def _as_text(value: object) -> str:
    """A cell as text; absent ones (None, NaN) as blank."""
    if isinstance(value, str):
        return value
    return "" if value is None or value != value else str(value)
