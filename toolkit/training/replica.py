"""The server's end of one device: keeps the device's LoRA values in step, and has it probe.

A device holds its values in one of two files and writes the next ones into the other, so that a
run that dies half-way never spoils what was there. The server sends what a device lacks, as
(seed, coefficient) pairs or as a snapshot, whichever is smaller, and checks the fingerprint that
comes back before it believes a slope.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import numpy as np

from android_harness.errors import DeviceError, RunnerFailedError
from android_harness.job import Loss, ProbeTask, Task
from android_harness.records import LoadRecord, ProbeRecord, Record
from android_harness.target import Target
from exporters.errors import FwdllmError
from toolkit.forward_gradient import Values
from toolkit.training.contract import DeviceRound, Share, TrainingConfig
from toolkit.wire import answer_bytes, request_bytes, snapshot_bytes, update_bytes

Slot = Literal[0, 1]
Pairs = list[tuple[int, float]]


class ProbeRunner(Protocol):
    """What training needs of an `InstalledRunner`."""

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
        updates: Sequence[tuple[int, float]] = (),
        lora_values_out: str | None = None,
        timeout_s: float | None = None,
    ) -> list[Record]: ...

    def state_path(self, name: str) -> str: ...


@dataclass(frozen=True)
class Held:
    """The values that a device is known to hold: those after `version` rounds, in `slot`.

    `slot` None: those of the bundle's adapter, which every device has from the start.
    """

    version: int
    slot: Slot | None


@dataclass(frozen=True)
class ProbeRequest:
    """What the server asks of a device in a round."""

    round_number: int  # probes at the values after round_number - 1 rounds
    seeds: tuple[int, ...]
    batch: tuple[int, ...]  # lines of the device's examples file
    values: Values  # float32 [parameters], for a snapshot
    values_sha256: str
    pairs_since: Callable[[int], Pairs]  # the updates after that many rounds, in order


class ReplicaMismatchError(DeviceError):
    """A device's LoRA values are not the server's."""


class Replica:
    """One device's copy of the values.

    Args:
        share: the device's part in every round.
        examples: the device's own examples file, on this machine.
        run_id: names the run's files on the device.
        held: what the device holds from earlier rounds.
    """

    def __init__(
        self,
        runner: ProbeRunner,
        share: Share,
        *,
        examples: Path,
        run_id: str,
        config: TrainingConfig,
        held: Held,
    ) -> None:
        self.share = share
        self._runner = runner
        self._examples = examples
        self._run_id = run_id
        self._config = config
        self._held = held

    def answer(self, request: ProbeRequest) -> DeviceRound:
        """Has the device probe; a failure is an answer without probes that says why."""
        attempt = _Attempt()
        started = time.monotonic()
        records: list[ProbeRecord] = []
        error = None
        try:
            records = self._probe(request, attempt)
        except FwdllmError as failure:
            error = str(failure)
        slopes = tuple(_float32(record.slope) for record in records)
        return DeviceRound(
            target=self.share.target,
            seeds=tuple(record.seed for record in records),
            slopes=slopes,
            losses_plus=tuple(record.loss_plus for record in records),
            losses_minus=tuple(record.loss_minus for record in records),
            coefficients=(),
            values_from=attempt.values_from,
            slot=self._held.slot,
            seconds=time.monotonic() - started,
            bytes_down=attempt.bytes_down,
            bytes_up=answer_bytes(len(records)),
            error=error,
        )

    def _probe(self, request: ProbeRequest, attempt: _Attempt) -> list[ProbeRecord]:
        pairs = request.pairs_since(self._held.version)
        if update_bytes(len(pairs)) <= snapshot_bytes(len(request.values)):
            try:
                return self._probe_after_updates(request, pairs, attempt)
            except ReplicaMismatchError:
                pass
            except RunnerFailedError as error:
                if error.phase != "lora_values":
                    raise
        return self._probe_after_snapshot(request, attempt)

    def _probe_after_updates(
        self, request: ProbeRequest, pairs: Pairs, attempt: _Attempt
    ) -> list[ProbeRecord]:
        held = self._held
        slot = self._free_slot() if pairs else held.slot
        attempt.values_from = "adapter" if slot is None else "updates"
        attempt.bytes_down += update_bytes(len(pairs))
        return self._run(
            request,
            attempt,
            Held(request.round_number - 1, slot),
            lora_values=self._path(held.slot),
            updates=pairs,
            lora_values_out=self._path(slot) if pairs else None,
        )

    def _probe_after_snapshot(self, request: ProbeRequest, attempt: _Attempt) -> list[ProbeRecord]:
        slot = self._free_slot()
        path = self._runner.state_path(self._name(slot))
        attempt.values_from = "snapshot"
        attempt.bytes_down += snapshot_bytes(len(request.values))
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "values.f32"
            local.write_bytes(request.values.astype("<f4", copy=False).tobytes())
            self._runner.target.push(local, PurePosixPath(path))
        return self._run(request, attempt, Held(request.round_number - 1, slot), lora_values=path)

    def _run(
        self,
        request: ProbeRequest,
        attempt: _Attempt,
        following: Held,
        *,
        lora_values: str | None,
        updates: Pairs | None = None,
        lora_values_out: str | None = None,
    ) -> list[ProbeRecord]:
        """One run of the device's runner; on success the device holds `following`."""
        config = self._config
        attempt.bytes_down += request_bytes(len(request.seeds), len(request.batch))
        records = self._runner.run(
            examples=self._examples,
            tasks=[
                ProbeTask(
                    batch=request.batch,
                    seeds=request.seeds,
                    estimator=config.estimator,
                    epsilon=config.epsilon,
                    directions_per_pass=self.share.directions_per_pass,
                )
            ],
            loss=config.loss,
            threads=config.threads,
            lora_values=lora_values,
            updates=updates or [],
            lora_values_out=lora_values_out,
            timeout_s=config.timeout_s,
        )
        device = self._runner.target.name
        load = next((record for record in records if isinstance(record, LoadRecord)), None)
        if load is None or load.lora_sha256 != request.values_sha256:
            raise ReplicaMismatchError("its LoRA values are not the server's", device=device)
        self._held = following
        probes = [record for record in records if isinstance(record, ProbeRecord)]
        _check_probes(probes, request.seeds, device)
        return probes

    def _free_slot(self) -> Slot:
        return 1 if self._held.slot == 0 else 0

    def _path(self, slot: Slot | None) -> str | None:
        return None if slot is None else self._runner.state_path(self._name(slot))

    def _name(self, slot: Slot) -> str:
        return f"{self._run_id}-{slot}.f32"


@dataclass
class _Attempt:
    """What has been sent so far in a round, also when it fails."""

    bytes_down: int = 0
    values_from: Literal["adapter", "updates", "snapshot"] | None = None


def _check_probes(probes: Sequence[ProbeRecord], seeds: Sequence[int], device: str) -> None:
    if [probe.seed for probe in probes] != list(seeds):
        raise DeviceError("it answered for other seeds than it was asked for", device=device)
    for probe in probes:
        if not all(map(math.isfinite, (_float32(probe.slope), probe.loss_plus, probe.loss_minus))):
            raise DeviceError(
                f"the slope along seed {probe.seed} is not a finite number: {probe.slope}",
                device=device,
                remedy="lower epsilon or the step size if every device says so",
            )


def _float32(value: float) -> float:
    """The nearest float32, which is what a slope is on the wire; infinite where out of range."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
