"""A run retold from its log: what slopes and seeds alone make of the initial values."""

from __future__ import annotations

from pathlib import Path

from toolkit.protocol.update import ReplicaState, Values
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_state import RunState, state_after


def replay(run_folder: Path, rounds: int | None = None) -> Values:
    """The values after so many rounds, float32 [parameters], bit for bit those of the run.

    None: after the last.

    Every round's update is planned again from its slopes; nothing of the checkpoints is used.

    Raises:
        TrainingError: a round does not lead to the update or values that the log says.
    """
    folder = RunFolder(run_folder)
    description = folder.description()
    state = RunState(ReplicaState(folder.initial()))
    for record in folder.rounds()[1 : None if rounds is None else rounds + 1]:
        state = state_after(description, state, record)
    return state.replica.values
