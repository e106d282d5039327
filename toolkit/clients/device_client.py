"""A client whose phone is a device with the native runner on it.

The client holds the replica; the device holds the values in one of two files and writes the next
ones into the other, so that a run that dies half-way never spoils what was there. Where an update
is a plain sum of directions the device computes it itself; anything else reaches it as a file. The
fingerprint that the device reports is compared before a slope is believed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import numpy as np

from android_harness.errors import DeviceError, RunnerFailedError
from android_harness.job import AlongTask, Loss, PrefixPolicy, ProbeTask, Task
from android_harness.records import AlongRecord, LoadRecord, ProbeRecord, Record
from android_harness.target import Target
from exporters.lora.combination import Combination
from exporters.lora.support import ParameterLayout
from toolkit.clients.values_file import values_file
from toolkit.privacy.protection import Protection
from toolkit.protocol.along import along_direction
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.fleet import StaleReplicaError
from toolkit.protocol.order import Answer, CatchUp, Order, Probes, Snapshot
from toolkit.protocol.update import ReplicaState, RoundUpdate, Values

Slot = Literal[0, 1]
ValuesFrom = Literal["held", "updates", "snapshot"]

_ALONG_FILE = "along.f32"


class ProbeRunner(Protocol):
    """What a client needs of an `InstalledRunner`."""

    @property
    def target(self) -> Target: ...

    def run(
        self,
        *,
        examples: Path,
        tasks: Sequence[Task],
        loss: Loss | None = None,
        threads: int,
        lora_values: str | None = None,
        updates: Sequence[Combination] = (),
        lora_values_out: str | None = None,
        files: Mapping[str, Path] = ...,
        prefix: PrefixPolicy | None = None,
        memory_bytes: int | None = None,
        timeout_s: float | None = None,
    ) -> list[Record]: ...

    def state_path(self, name: str) -> str: ...

    def kept_prefix(self, size: int) -> PrefixPolicy | None: ...


@dataclass(frozen=True)
class ClientSettings:
    """What all orders of a run have in common.

    `run_id` names the run's files on the device; `timeout_s` bounds one order. Up to
    `prefix_bytes` of what the frozen layers make of the examples are kept on the device; 0: none.
    The runner takes at most `memory_bytes` and chooses by it how many directions share a pass, not
    by the order; None: it takes what the order needs.
    """

    run_id: str
    threads: int = 1
    prefix_bytes: int = 0
    memory_bytes: int | None = None
    timeout_s: float | None = None


class DeviceClient:
    """One device with its own examples; version 0 of its replica is the bundle's adapter.

    Args:
        examples: the device's examples file, on this machine; the runner brings it there.
        count: how many examples the file holds.
        initial: the adapter's values, float32 [parameters].
        loss: what its slopes are of.
        protection: of its answers; None: they are sent as measured.
    """

    def __init__(
        self,
        runner: ProbeRunner,
        *,
        examples: Path,
        count: int,
        layout: ParameterLayout,
        initial: Values,
        loss: Loss,
        settings: ClientSettings,
        protection: Protection | None = None,
    ) -> None:
        self._runner = runner
        self._examples_path = examples
        self._count = count
        self._layout = layout
        self._loss = loss
        self._settings = settings
        size = settings.prefix_bytes
        self._prefix = runner.kept_prefix(size) if size else None
        self._protection = protection
        self._replica: tuple[int, ReplicaState] = (0, ReplicaState(initial))
        # The device's file of values, None: the adapter itself; and the updates that the replica
        # has had since, None: they are not known.
        self._slot: Slot | None = None
        self._ahead: tuple[RoundUpdate, ...] | None = ()

    @property
    def name(self) -> str:
        return self._runner.target.name

    @property
    def examples(self) -> int:
        return self._count

    def answer(self, order: Order) -> Answer:
        """Brings the replica and the device to the order's version, and measures.

        Raises:
            StaleReplicaError: the replica's values are not the server's, or too old to catch up.
            DeviceError: the device failed, or answered something else than was asked.
        """
        started = time.monotonic()
        self._bring_replica(order)
        records, values_from = self._measure(order)
        answer = self._read(order, records, values_from, time.monotonic() - started)
        return answer if self._protection is None else self._protection.of(answer, order)

    def _bring_replica(self, order: Order) -> None:
        if isinstance(order.sync, Snapshot):
            state, ahead = order.sync.state, None
        else:
            state, missing = self._caught_up(order.sync, order.version)
            ahead = None if self._ahead is None else (*self._ahead, *missing)
        if values_sha256(state.values) != order.values_sha256:
            raise StaleReplicaError("its LoRA values are not the server's", device=self.name)
        self._replica = order.version, state
        self._ahead = ahead

    def _caught_up(
        self, sync: CatchUp, version: int
    ) -> tuple[ReplicaState, tuple[RoundUpdate, ...]]:
        held, state = self._replica
        missing = sync.missing(held, version)
        if missing is None:
            raise StaleReplicaError(
                f"it holds version {held} and was sent what follows {sync.since}", device=self.name
            )
        for update in missing:
            state = state.after(update, self._layout)
        return state, missing

    def _measure(self, order: Order) -> tuple[list[Record], ValuesFrom]:
        """Runs the order at its values: by updates on the device, else from a file."""
        plain = _plain(self._ahead)
        if plain is not None:
            slot = self._free_slot() if plain else self._slot
            try:
                records = self._run(
                    order,
                    lora_values=self._path(self._slot),
                    updates=plain,
                    lora_values_out=self._path(slot) if plain else None,
                )
                self._slot, self._ahead = slot, ()
                return records, "updates" if plain else "held"
            except StaleReplicaError:
                pass  # the device's file is not what it was thought to be
            except RunnerFailedError as error:
                if error.phase != "lora_values":
                    raise
        slot = self._free_slot()
        path = self._runner.state_path(self._file(slot))
        with values_file(self._replica[1].values) as local:
            self._runner.target.push(local, PurePosixPath(path))
        records = self._run(order, lora_values=path)
        self._slot, self._ahead = slot, ()
        return records, "snapshot"

    def _run(
        self,
        order: Order,
        *,
        lora_values: str | None,
        updates: Sequence[Combination] = (),
        lora_values_out: str | None = None,
    ) -> list[Record]:
        if order.exact_head:
            raise DeviceError(
                "the native runner has no classification head",
                device=self.name,
                remedy="classify by prompt and verbalizer",
            )
        settings = self._settings
        with ExitStack() as stack:
            tasks: list[Task] = []
            files = {}
            if order.probes is not None:
                tasks.append(_probe_task(order, order.probes, bounded=bool(settings.memory_bytes)))
            if order.along is not None:
                tasks.append(_along_task(order))
                direction = along_direction(order.along, self._replica[1], self._layout)
                files[_ALONG_FILE] = stack.enter_context(values_file(direction))
            records = self._runner.run(
                examples=self._examples_path,
                tasks=tasks,
                loss=self._loss,
                threads=settings.threads,
                lora_values=lora_values,
                updates=updates,
                lora_values_out=lora_values_out,
                files=files,
                prefix=self._prefix,
                memory_bytes=settings.memory_bytes,
                timeout_s=settings.timeout_s,
            )
        load = next((record for record in records if isinstance(record, LoadRecord)), None)
        if load is None or load.lora_sha256 != order.values_sha256:
            raise StaleReplicaError("its LoRA values are not the server's", device=self.name)
        return records

    def _read(
        self, order: Order, records: Sequence[Record], values_from: ValuesFrom, seconds: float
    ) -> Answer:
        probes = [record for record in records if isinstance(record, ProbeRecord)]
        along = [record for record in records if isinstance(record, AlongRecord)]
        asked = order.probes.directions if order.probes is not None else ()
        if tuple(probe.direction for probe in probes) != asked:
            raise DeviceError(
                "it answered for other directions than it was asked for", device=self.name
            )
        if len(along) != (order.along is not None):
            raise DeviceError("it left out the slope along the update", device=self.name)
        measured: list[ProbeRecord | AlongRecord] = [*probes, *along]
        # Private slopes are cut to finite ones, and an error must not tell what they were.
        for record in measured if self._protection is None else ():
            if not all(map(math.isfinite, (record.slope, record.loss_plus, record.loss_minus))):
                raise DeviceError(
                    f"a slope is not a finite number: {record.slope}",
                    device=self.name,
                    remedy="lower epsilon or the step size if every device says so",
                )
        losses = [loss for record in measured for loss in (record.loss_plus, record.loss_minus)]
        with np.errstate(over="ignore"):  # out of float32's range: the server refuses infinity
            slopes = np.array([probe.slope for probe in probes], dtype=np.float32)
            along_slope = float(np.float32(along[0].slope)) if along else None
        return Answer(
            round_number=order.round_number,
            increment=order.increment,
            values_sha256=order.values_sha256,
            slopes=slopes,
            loss=float(np.mean(losses)),
            along_slope=along_slope,
            head_gradient=None,
            seconds=seconds,
            values_from=values_from,
        )

    def _free_slot(self) -> Slot:
        return 1 if self._slot == 0 else 0

    def _path(self, slot: Slot | None) -> str | None:
        return None if slot is None else self._runner.state_path(self._file(slot))

    def _file(self, slot: Slot) -> str:
        return f"{self._settings.run_id}-{slot}.f32"


def _along_task(order: Order) -> AlongTask:
    return AlongTask(
        batch=order.batch,
        estimator=order.estimator,
        epsilon=order.epsilon,
        direction=_ALONG_FILE,
    )


def _probe_task(order: Order, probes: Probes, *, bounded: bool) -> ProbeTask:
    return ProbeTask(
        batch=order.batch,
        directions=probes.directions,
        estimator=order.estimator,
        epsilon=order.epsilon,
        distribution=probes.distribution,
        support=probes.support,
        directions_per_pass=None if bounded else probes.directions_per_pass,
    )


def _plain(updates: Sequence[RoundUpdate] | None) -> tuple[Combination, ...] | None:
    """The updates as one sequence that the runner can add; None where it cannot."""
    if updates is None or any(u.momentum is not None or u.overwrites for u in updates):
        return None
    combinations = tuple(each for update in updates for each in update.combinations)
    # Gaussian directions agree between platforms within 1e-6 only, too little for replicas.
    if any(each.distribution == "gaussian" for each in combinations):
        return None
    return combinations
