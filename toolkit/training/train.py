"""FwdLLM's training loop over targets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.lora.directions import draw_seeds
from exporters.manifest import Bundle
from toolkit.allocation.contract import Allocation
from toolkit.errors import AllDevicesFailedError, TrainingError
from toolkit.forward_gradient import Values, apply_update, exact_norm, values_sha256
from toolkit.training.contract import (
    DeviceRound,
    RoundRecord,
    RunDescription,
    TrainingConfig,
)
from toolkit.training.evaluation import Evaluator
from toolkit.training.outputs import write_outputs
from toolkit.training.replica import Held, Pairs, ProbeRequest, ProbeRunner, Replica
from toolkit.training.run_folder import RunFolder
from toolkit.training.setup import (
    TrainingData,
    begin_or_continue,
    examples_path,
    held_out_path,
)
from toolkit.training.shares import probes_of, probes_of_run
from toolkit.training.update import plan_update


@dataclass(frozen=True)
class TrainingResult:
    """A finished run: its folder, its values, and its log."""

    folder: Path
    values: Values
    rounds: tuple[RoundRecord, ...]


def train(
    runners: Sequence[ProbeRunner],
    *,
    bundle: Bundle,
    data: TrainingData,
    config: TrainingConfig,
    out: Path,
    evaluator: ProbeRunner | None = None,
    allocation: Allocation | None = None,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Trains the bundle's LoRA values over the runners' devices, into the RUN folder `out`.

    Each round the server draws one direction per probe and a batch per device; the devices bring
    their values up to date and measure slopes, all at the same time; the server moves the values
    along the forward gradient. A device that fails loses its probes of that round. Called again
    with the same arguments, an interrupted run continues after its last whole round and ends
    with the same values.

    Args:
        evaluator: what the held-out examples run on; None: the first runner.
        allocation: the probes of each device; None: equal shares. A run that continues keeps the
            shares that it began with.
        on_round: called after each round that this call completes, and after the evaluation of
            the start, which is round 0.

    Raises:
        TrainingError: the run cannot start or continue (AllDevicesFailedError: nobody answered).
        DataError: the data do not suffice.
        DeviceError: the evaluation failed.
    """
    if allocation is not None and allocation.bundle_sha256 != bundle.sha256:
        raise TrainingError(
            "the allocation was made from profiles of another bundle",
            remedy="measure the devices with this bundle",
        )
    folder = RunFolder(out)
    description = begin_or_continue(
        folder,
        bundle=bundle,
        data=data,
        config=config,
        probes=probes_of_run(folder.description(), runners)
        if folder.exists()
        else probes_of(runners, config, allocation),
    )
    folder.drop_torn_line()
    evaluate = None
    if data.held_out:
        evaluate = Evaluator(
            evaluator or runners[0],
            data.held_out,
            examples=held_out_path(folder),
            run_id=description.run_id,
            config=config,
        )
    server = _Server(folder, description, runners, evaluate)
    for record in server.remaining_rounds():
        if on_round is not None:
            on_round(record)
    write_outputs(folder, bundle, server.values, server.log)
    return TrainingResult(folder=out, values=server.values, rounds=tuple(server.log))


class _Server:
    """The state of a run between rounds: the values and the log."""

    def __init__(
        self,
        folder: RunFolder,
        description: RunDescription,
        runners: Sequence[ProbeRunner],
        evaluator: Evaluator | None,
    ) -> None:
        self.log = folder.rounds()
        self.values = folder.latest_values()
        self._folder = folder
        self._config = description.config
        self._evaluator = evaluator
        by_name = {runner.target.name: runner for runner in runners}
        self._replicas = [
            Replica(
                by_name[share.target],
                share,
                examples=examples_path(folder, position),
                run_id=description.run_id,
                config=description.config,
                held=_last_held(self.log, share.target),
            )
            for position, share in enumerate(description.shares)
        ]

    def remaining_rounds(self) -> Iterator[RoundRecord]:
        """Runs the rounds that the log lacks; each is on the disk before it is yielded."""
        with ThreadPoolExecutor(max_workers=len(self._replicas)) as threads:
            while len(self.log) <= self._config.rounds:
                number = len(self.log)
                record = self._start() if number == 0 else self._round(number, threads)
                self._folder.append(record)
                self.log.append(record)
                if number == self._config.rounds or number % self._config.checkpoint_every == 0:
                    self._folder.save_checkpoint(number, self.values)
                yield record

    def _start(self) -> RoundRecord:
        return RoundRecord(
            round=0,
            loss=None,
            probes=0,
            gradient_norm=0.0,
            values_norm=exact_norm(self.values),
            step_norm=0.0,
            values_sha256=values_sha256(self.values),
            seconds=0.0,
            bytes_down=0,
            bytes_up=0,
            devices=(),
            evaluation=self._evaluator.evaluate(self.values) if self._evaluator else None,
        )

    def _round(self, number: int, threads: ThreadPoolExecutor) -> RoundRecord:
        started = time.monotonic()
        requests = self._requests(number)
        answers = list(threads.map(Replica.answer, self._replicas, requests))
        if not any(answer.seeds for answer in answers):
            failures = "; ".join(answer.error or "no probes" for answer in answers)
            diverged = all("not finite" in (answer.error or "") for answer in answers)
            raise AllDevicesFailedError(
                f"no device answered in round {number}: {failures}",
                remedy="start a new run with a smaller step: this one has diverged"
                if diverged
                else "mend the devices and run the same command again: it continues here",
            )
        update = plan_update(
            self._config,
            number,
            self.values,
            seeds=[seed for answer in answers for seed in answer.seeds],
            slopes=np.array(
                [slope for answer in answers for slope in answer.slopes], dtype=np.float32
            ),
        )
        devices = _with_coefficients(answers, update.coefficients.tolist())
        losses = [loss for answer in answers for loss in answer.losses_plus + answer.losses_minus]
        self.values = apply_update(self.values, update.pairs)
        seconds = time.monotonic() - started
        config = self._config
        due = number % config.evaluate_every == 0 or number == config.rounds
        return RoundRecord(
            round=number,
            loss=float(np.mean(losses)),
            probes=len(update.pairs),
            gradient_norm=update.gradient_norm,
            values_norm=update.values_norm,
            step_norm=update.step_norm,
            values_sha256=values_sha256(self.values),
            seconds=seconds,
            bytes_down=sum(device.bytes_down for device in devices),
            bytes_up=sum(device.bytes_up for device in devices),
            devices=devices,
            evaluation=self._evaluator.evaluate(self.values) if self._evaluator and due else None,
        )

    def _requests(self, number: int) -> list[ProbeRequest]:
        """One request per replica: its own directions and its own batch."""
        shares = [replica.share for replica in self._replicas]
        seeds = draw_seeds(self._config.seed, number, sum(share.probes for share in shares))
        sha256 = values_sha256(self.values)
        requests = []
        for position, share in enumerate(shares):
            own, seeds = seeds[: share.probes], seeds[share.probes :]
            requests.append(
                ProbeRequest(
                    round_number=number,
                    seeds=tuple(own),
                    batch=_batch(self._config, number, position, share.examples),
                    values=self.values,
                    values_sha256=sha256,
                    pairs_since=self._pairs_since,
                )
            )
        return requests

    def _pairs_since(self, version: int) -> Pairs:
        return [pair for record in self.log[version + 1 :] for pair in record.update]


def _batch(config: TrainingConfig, number: int, position: int, examples: int) -> tuple[int, ...]:
    """A device's batch of a round: distinct lines of its file, drawn for that round alone."""
    generator = np.random.default_rng([config.seed, number, position])
    chosen = generator.choice(examples, size=min(config.batch, examples), replace=False)
    return tuple(int(line) for line in np.sort(chosen))


def _last_held(log: Sequence[RoundRecord], target: str) -> Held:
    """What a device holds according to the log: the values it last probed at."""
    for record in reversed(log):
        for device in record.devices:
            if device.target == target and device.error is None:
                return Held(version=record.round - 1, slot=device.slot)
    return Held(version=0, slot=None)


def _with_coefficients(
    answers: Sequence[DeviceRound], coefficients: list[float]
) -> tuple[DeviceRound, ...]:
    devices = []
    for answer in answers:
        own, coefficients = coefficients[: len(answer.seeds)], coefficients[len(answer.seeds) :]
        devices.append(answer.model_copy(update={"coefficients": tuple(own)}))
    return tuple(devices)
