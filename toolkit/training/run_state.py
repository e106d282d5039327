"""Where a run stands after a round, and how the log alone leads from one round to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.errors import TrainingError
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.update import ReplicaState
from toolkit.server_update.memory import ServerMemory
from toolkit.server_update.state import Plan, RoundState
from toolkit.training.contract import RoundRecord, RunDescription, StoredUpdate
from toolkit.training.packed import unpack
from toolkit.training.plan_round import plan_round


@dataclass(frozen=True)
class RunState:
    """What every replica holds, and what the server keeps beside it."""

    replica: ReplicaState
    memory: ServerMemory = field(default_factory=ServerMemory)

    def before(self, round_number: int, rounds: int) -> RoundState:
        return RoundState(round_number, rounds, self.replica, self.memory)


def plan_again(description: RunDescription, state: RunState, record: RoundRecord) -> Plan | None:
    """The plan of a logged round, made of its slopes again; None where it committed nothing."""
    if not record.committed:
        return None
    head = None if record.head_gradient is None else unpack(record.head_gradient)
    config = description.config
    return plan_round(
        config,
        state.before(record.round, config.rounds),
        record.measurements,
        record.along,
        head,
        description.layout,
    )


def state_after(description: RunDescription, state: RunState, record: RoundRecord) -> RunState:
    """The state after a logged round, from that before it; the same bits as in the run.

    Raises:
        TrainingError: the round's slopes do not lead to the update and values that the log says.
    """
    planned = plan_again(description, state, record)
    if planned is not None:
        update = record.update.update()
        state = RunState(state.replica.after(update, description.layout), planned.memory)
    same_update = planned is None or StoredUpdate.of(planned.update) == record.update
    if not same_update or values_sha256(state.replica.values) != record.values_sha256:
        raise TrainingError(
            f"round {record.round} replayed leads to other values than the log says",
            remedy="the log, a checkpoint or the initial values were changed; restore them, or "
            "start a new run in another folder",
        )
    return state
