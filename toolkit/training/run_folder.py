"""A RUN folder: a log that only grows, and checkpoints that are whole or absent.

run.json                  the run's description
initial.npy               the values before round 1, float32 [parameters]
rounds.jsonl              one RoundRecord a line
checkpoint/round-N.npz    the state after round N
data/                     the examples files
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from exporters.durable_files import replaced_atomically
from toolkit.errors import TrainingError
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.update import ReplicaState, Values
from toolkit.server_update.memory import ServerMemory
from toolkit.training.contract import RoundRecord, RunDescription
from toolkit.training.run_state import RunState, state_after

# The replica's vectors among the arrays of a checkpoint.
_VALUES, _MOMENTUM = "replica:values", "replica:memory"


class RunFolder:
    """The files of one run. Every method reads or writes; nothing is cached."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"
        self._description = path / "run.json"
        self._initial = path / "initial.npy"
        self._rounds = path / "rounds.jsonl"
        self._checkpoints = path / "checkpoint"

    def exists(self) -> bool:
        """Whether a run has been begun here."""
        return self._description.exists()

    def begin(self, description: RunDescription, initial: Values) -> None:
        """Starts a run; the description is written last, so that it stands for the whole."""
        _save(self._initial, initial)
        description.write(self._description)

    def description(self) -> RunDescription:
        return RunDescription.read(self._description)

    def append(self, record: RoundRecord) -> None:
        """Adds a finished round to the log, on the disk before this returns."""
        with self._rounds.open("ab") as file:
            file.write(record.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def drop_torn_line(self) -> None:
        """Removes what a crash in the middle of `append` left behind."""
        if self._rounds.exists():
            content = self._rounds.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.truncate(self._rounds, whole)

    def rounds(self) -> list[RoundRecord]:
        """The log, in order; a torn last line is not part of it.

        Raises:
            TrainingError: a line is not a round, or a round is missing.
        """
        if not self._rounds.exists():
            return []
        lines = self._rounds.read_bytes().split(b"\n")[:-1]
        records = []
        for number, line in enumerate(lines):
            try:
                record = RoundRecord.model_validate_json(line)
            except ValidationError as error:
                raise self._broken_log(number, "is not a round") from error
            if record.round != number:
                raise self._broken_log(number, f"is round {record.round}")
            records.append(record)
        return records

    def save_checkpoint(self, round_number: int, state: RunState) -> None:
        """Writes the state after a round and removes older checkpoints."""
        path = self._checkpoints / f"round-{round_number:06d}.npz"
        vectors = {_VALUES: state.replica.values}
        if state.replica.memory is not None:
            vectors[_MOMENTUM] = state.replica.memory
        ServerMemory({**state.memory.arrays, **vectors}, state.memory.scalars).save(path)
        for other in self._checkpoints.glob("round-*.npz"):
            if other != path:
                other.unlink()

    def checkpoint(self) -> tuple[int, RunState]:
        """The latest checkpoint: its round and state. Without any, round 0 and the initial."""
        paths = sorted(self._checkpoints.glob("round-*.npz"))
        if not paths:
            return 0, RunState(ReplicaState(self.initial()))
        saved = ServerMemory.load(paths[-1])
        arrays = dict(saved.arrays)
        replica = ReplicaState(arrays.pop(_VALUES), arrays.pop(_MOMENTUM, None))
        number = int(paths[-1].stem.removeprefix("round-"))
        return number, RunState(replica, ServerMemory(arrays, saved.scalars))

    def initial(self) -> Values:
        """The values before round 1."""
        return _load(self._initial)

    def latest_state(self, records: Sequence[RoundRecord]) -> RunState:
        """The state after the last round of the log: the checkpoint and the rounds after it.

        `records` are those of `rounds`, which need not be read twice.

        Raises:
            TrainingError: they do not lead to the values that the log fingerprints.
        """
        number, state = self.checkpoint()
        logged = records[number].values_sha256 if number < len(records) else None
        if records and values_sha256(state.replica.values) != logged:
            raise TrainingError(
                "the checkpoint is not that of the log",
                remedy="restore the two together, or start a new run in another folder",
                file=self.path,
            )
        description = self.description()
        for record in records[number + 1 :]:
            state = state_after(description, state, record)
        return state

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out while a server writes.

        Raises:
            TrainingError: another process runs this run.
        """
        with (self.path / "run.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TrainingError(
                    "another process is training in this folder",
                    remedy="wait for it to end, or give another --out",
                    file=self.path,
                ) from error
            yield

    def _broken_log(self, number: int, what: str) -> TrainingError:
        return TrainingError(
            f"line {number + 1} of the log {what}",
            remedy="restore the file, or start a new run in another folder",
            file=self._rounds,
        )


def _save(path: Path, values: Values) -> None:
    with replaced_atomically(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


def _load(path: Path) -> Values:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot read LoRA values: {error}", file=path) from error
    return np.asarray(values, dtype=np.float32)
