"""Beginning a run, or finding the begun one, in a RUN folder."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from exporters.durable_files import write_atomically
from exporters.lora.support import ParameterLayout
from toolkit.errors import TrainingError
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.update import Values
from toolkit.training.contract import FlatLayout, RunDescription, Share, TrainingConfig
from toolkit.training.run_folder import RunFolder

# What differs between two invocations of the same run.
_FREE_FIELDS = {"run_id", "created_at"}


def begin_or_continue(
    folder: RunFolder,
    *,
    model_sha256: str,
    layout: ParameterLayout,
    initial: Values,
    config: TrainingConfig,
    shares: Sequence[Share],
    run_id: str | None = None,
    files: Mapping[Path, str] | None = None,
    held_out_sha256: str | None = None,
) -> RunDescription:
    """Writes run.json, unless the folder holds this very run already, and the files beside it.

    Args:
        run_id: of a run that begins; None: a new one.
        files: the run's data files, {path: text}. A run that continues gets missing ones again.

    Raises:
        TrainingError: the folder holds another run.
    """
    description = RunDescription(
        run_id=run_id or secrets.token_hex(8),
        created_at=datetime.now(UTC),
        model_sha256=model_sha256,
        initial_sha256=values_sha256(initial),
        layout=FlatLayout.of(layout),
        config=config,
        shares=tuple(shares),
        held_out_sha256=held_out_sha256,
    )
    begun = folder.exists()
    if begun:
        # Before anything is written: a refusal must leave the run that is there as it is.
        description = _same_run(folder, description)
    for path, text in (files or {}).items():
        write_atomically(path, text)
    if not begun:
        folder.begin(description, initial)
    return description


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _same_run(folder: RunFolder, new: RunDescription) -> RunDescription:
    old = folder.description()
    # The configuration first: what else differs usually follows from it.
    later = (name for name in RunDescription.model_fields if name not in {"config", *_FREE_FIELDS})
    for name in ("config", *later):
        if getattr(old, name) != getattr(new, name):
            raise TrainingError(
                f"the folder holds a run with another {name}: {_difference(old, new, name)}",
                remedy="give another --out, or repeat the first invocation to continue that run",
                file=folder.path,
            )
    return old


def _difference(old: RunDescription, new: RunDescription, name: str) -> str:
    if name != "config":
        return f"{getattr(old, name)}, now {getattr(new, name)}"
    before, after = old.config, new.config
    return ", ".join(
        f"{each} {getattr(before, each)}, now {getattr(after, each)}"
        for each in TrainingConfig.model_fields
        if getattr(before, each) != getattr(after, each)
    )
