"""Where rows come from: a file or folder of this machine, or a dataset of the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import DataError

HUB_PREFIX = "hf:"


@dataclass(frozen=True)
class HubDataset:
    """A split of a dataset of the hub; `config` where the dataset has several."""

    name: str
    split: str
    config: str | None = None

    def __str__(self) -> str:
        return HUB_PREFIX + ":".join(filter(None, (self.name, self.config, self.split)))


DataSource = Path | HubDataset


def parse_source(text: str) -> DataSource:
    """A path, or `hf:NAME:SPLIT` or `hf:NAME:CONFIG:SPLIT` for a dataset of the hub.

    Raises:
        DataError: it begins with `hf:` but has another number of parts, or an empty one.
    """
    if not text.startswith(HUB_PREFIX):
        return Path(text)
    parts = text.removeprefix(HUB_PREFIX).split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise DataError(
            f"cannot read the dataset {text!r}",
            remedy="write hf:NAME:SPLIT or hf:NAME:CONFIG:SPLIT, e.g. hf:fancyzhx/ag_news:train",
        )
    return HubDataset(parts[0], parts[-1], parts[1] if len(parts) == 3 else None)
