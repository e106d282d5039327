"""Reading rows of text, with labels and users, from any source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.data.formats import open_table
from toolkit.data.source import DataSource
from toolkit.errors import DataError


@dataclass(frozen=True)
class Rows:
    """One text per row; one label and one user per row where such a column was named."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Iterable[int]) -> Rows:
        """These rows, in this order."""
        chosen = list(rows)

        def of(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[row] for row in chosen)

        return Rows(
            texts=of(self.texts),
            labels=None if self.labels is None else of(self.labels),
            users=None if self.users is None else of(self.users),
        )


def read_rows(
    source: DataSource,
    *,
    text_columns: Sequence[str],
    label_column: str | None = None,
    user_column: str | None = None,
) -> Rows:
    """Reads the named columns; several text columns are joined in the order given.

    A CSV or TSV file has a header unless every named column is a number: then columns are
    counted from 0 and the first line is data. Values are taken as text; class numbers of a
    Hugging Face dataset, and of a Parquet file that one was written to, become the classes'
    names. Rows whose texts are all blank are skipped.

    Raises:
        DataError: the data are missing, malformed, of another kind or have no rows; a column does
            not exist (the message lists those that do); a row has no label or no user.
    """
    file = source if isinstance(source, Path) else None
    columns = [*text_columns, *(name for name in (label_column, user_column) if name is not None)]
    if not text_columns:
        raise DataError("name at least one text column", file=file)
    table = open_table(source, numbered=all(name.isdecimal() for name in columns))
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"there is no column {', '.join(missing)}; the columns are {', '.join(table.columns)}",
            remedy="name existing columns, or number them from 0 when the file has no header",
            file=file,
        )
    texts = [_joined(parts) for parts in zip(*map(table.read, text_columns), strict=True)]
    kept = [row for row, text in enumerate(texts) if text]
    if not kept:
        raise DataError("the data have no rows with text", file=file)

    def of_every_row(column: str | None, word: str) -> tuple[str, ...] | None:
        if column is None:
            return None
        values = [value.strip() for value in table.read(column)]
        blank = next((row for row in kept if not values[row]), None)
        if blank is not None:
            raise DataError(f"row {blank + 1} has no {word}", file=file)
        return tuple(values[row] for row in kept)

    return Rows(
        texts=tuple(texts[row] for row in kept),
        labels=of_every_row(label_column, "label"),
        users=of_every_row(user_column, "user"),
    )


def _joined(parts: Iterable[str]) -> str:
    """The parts that are not blank as one text, a full stop between those that lack an end."""
    text = ""
    for part in (" ".join(part.split()) for part in parts):
        if text and part:
            text += " " if text[-1] in ".!?" else ". "
        text += part
    return text
