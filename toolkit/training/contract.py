"""The files of a RUN folder: run.json (what is trained, how) and rounds.jsonl (what happened)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from android_harness.job import Estimator, Loss, Seed, VocabularyLoss
from exporters.contract import Contract, Part
from toolkit.server_update import TrustRatioStep, UpdateRule


class TrainingConfig(Part):
    """What decides the result of a run, beside the bundle and the data."""

    rounds: PositiveInt
    probes: PositiveInt = 64  # per round, over all devices
    batch: PositiveInt = 16  # examples per device and round
    loss: Loss = VocabularyLoss()
    estimator: Estimator = "central"
    epsilon: PositiveFloat = 0.01
    directions_per_pass: PositiveInt = 1  # where no allocation says otherwise
    update: UpdateRule = TrustRatioStep()
    seed: Seed = 0
    threads: PositiveInt = 1  # of the runner, on each device
    timeout_s: PositiveFloat | None = None  # of one round on one device
    evaluate_every: PositiveInt = 10
    evaluation_batch: PositiveInt = 16
    checkpoint_every: PositiveInt = 1


class Share(Part):
    """What one device does every round, and the data it does it on."""

    target: str
    probes: PositiveInt
    directions_per_pass: PositiveInt
    examples: PositiveInt
    examples_sha256: str


class RunDescription(Contract):
    """run.json: written once; a run continues only under the same description."""

    word: ClassVar[str] = "description of the training run"

    run_id: str  # names the run's files on the devices
    created_at: datetime
    bundle_sha256: str
    parameters: PositiveInt
    config: TrainingConfig
    shares: tuple[Share, ...]
    held_out_sha256: str | None  # None: the run is not evaluated


class Evaluation(Part):
    """The held-out examples under the values at the end of a round.

    `accuracy` is the share of targets predicted, where the loss is over label tokens; else None.
    """

    loss: float
    accuracy: float | None
    positions: PositiveInt
    seconds: NonNegativeFloat


class DeviceRound(Part):
    """One device's part in a round; the lists have one entry per accepted probe.

    `coefficients` are the update that the round made of the slopes. `slot` is the file, of the
    run's two on the device, that holds the values it probed at (None: the adapter's own).
    """

    target: str
    seeds: tuple[Seed, ...]
    slopes: tuple[float, ...]
    losses_plus: tuple[float, ...]
    losses_minus: tuple[float, ...]
    coefficients: tuple[float, ...]
    values_from: Literal["adapter", "updates", "snapshot"] | None
    slot: Literal[0, 1] | None
    seconds: NonNegativeFloat
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    error: str | None  # why its probes are lost


class RoundRecord(Part):
    """One line of rounds.jsonl. Round 0 is the start: no device took part."""

    round: NonNegativeInt
    loss: float | None  # mean of all probes' losses, on the devices' batches
    probes: NonNegativeInt  # accepted
    gradient_norm: NonNegativeFloat
    values_norm: NonNegativeFloat  # before the update
    step_norm: NonNegativeFloat
    values_sha256: str  # after the update
    seconds: NonNegativeFloat  # without the evaluation
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    devices: tuple[DeviceRound, ...]
    evaluation: Evaluation | None

    @property
    def seeds(self) -> list[int]:
        """The accepted probes' seeds, in the order of the update."""
        return [seed for device in self.devices for seed in device.seeds]

    @property
    def slopes(self) -> NDArray[np.float32]:
        """The accepted probes' slopes, float32 [probes], in the order of the update."""
        return np.array(
            [slope for device in self.devices for slope in device.slopes], dtype=np.float32
        )

    @property
    def update(self) -> list[tuple[int, float]]:
        """The round's (seed, coefficient) pairs, in order."""
        return [
            pair
            for device in self.devices
            for pair in zip(device.seeds, device.coefficients, strict=True)
        ]
