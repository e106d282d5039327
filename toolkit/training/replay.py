"""A run retold from its log: what (seed, slope) pairs alone make of the initial values."""

from __future__ import annotations

from pathlib import Path

from toolkit.errors import TrainingError
from toolkit.forward_gradient import Values, apply_update, values_sha256
from toolkit.training.run_folder import RunFolder
from toolkit.training.update import plan_update


def replay(run_folder: Path) -> Values:
    """The values after the last round, float32 [parameters], bit for bit those of the run.

    Coefficients are computed again from the slopes; nothing of the checkpoints is used.

    Raises:
        TrainingError: a round does not lead to the values that the log fingerprints.
    """
    folder = RunFolder(run_folder)
    config = folder.description().config
    values = folder.initial()
    for record in folder.rounds():
        if record.seeds:
            update = plan_update(
                config, record.round, values, seeds=record.seeds, slopes=record.slopes
            )
            values = apply_update(values, update.pairs)
        if values_sha256(values) != record.values_sha256:
            raise TrainingError(
                f"round {record.round} replayed leads to other values than the log says",
                remedy="the log or the initial values were changed after the run",
                file=run_folder,
            )
    return values
