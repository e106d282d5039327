"""The files of a RUN folder: run.json (what is trained, how) and rounds.jsonl (what happened)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

import numpy as np
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from android_harness.job import Estimator, Loss, VocabularyLoss
from exporters.contract import Contract, Part
from exporters.lora.combination import Combination, DirectionName, Seed
from exporters.lora.directions import Distribution
from exporters.lora.support import EVERYTHING, Matrix, ParameterLayout, Support
from toolkit.gradient.forward_gradient import Measured
from toolkit.pacing.fixed import FixedPacing
from toolkit.pacing.rules import Pacing
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.update import Overwrite, RoundUpdate
from toolkit.robust.admission import AdmissionRules
from toolkit.robust.aggregation import Aggregation, Mean
from toolkit.sampling.plain import PlainSampling
from toolkit.sampling.rules import Sampling
from toolkit.server_update.guard import DivergenceGuard
from toolkit.server_update.head import HeadRule
from toolkit.server_update.rules import UpdateRule
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.training.packed import PackedFloats, pack, unpack


class TrainingConfig(Part):
    """What decides the result of a run, beside the bundle and the data."""

    rounds: PositiveInt
    probes: PositiveInt = 64  # of a round's first orders, over all clients
    clients: PositiveInt | None = None  # asked first in a round; None: all
    batch: PositiveInt = 16  # examples per client and order
    loss: Loss = VocabularyLoss()
    label_prior: NonNegativeFloat = 0.0  # of each client's own label shares in its loss
    estimator: Estimator = "tangent"
    epsilon: PositiveFloat = 0.01
    distribution: Distribution = "rademacher"
    support: Support = EVERYTHING
    directions_per_pass: PositiveInt = 1  # where no allocation says otherwise
    shared_directions: bool = False  # all clients probe along the same ones, as in MeZO
    split_layers: bool = False  # each client moves the LoRA of its own layers, as in SPRY
    pacing: Pacing = FixedPacing()
    sampling: Sampling = PlainSampling()
    update: UpdateRule = TrustRatioStep()
    head: HeadRule | None = None  # None: no classification head, or one moved by directions
    aggregation: Aggregation = Mean()
    admission: AdmissionRules = AdmissionRules()
    guard: DivergenceGuard | None = None
    privacy: SlopeNoise | None = None
    seed: Seed = 0
    threads: PositiveInt = 1  # of the runner, on each device
    prefix_bytes: NonNegativeInt = 1 << 28  # of frozen layers' states, kept on each device
    memory_bytes: PositiveInt | None = None  # that the runner may take on each device
    timeout_s: PositiveFloat | None = None  # of one order on one device
    deadline_s: PositiveFloat | None = None  # the server waits no longer for an order's answers
    staleness: NonNegativeInt = 0  # rounds after its own in which a late answer still counts
    evaluate_every: PositiveInt = 10
    evaluation_batch: PositiveInt = 16
    checkpoint_every: PositiveInt = 1

    @model_validator(mode="after")
    def _rules_go_together(self) -> TrainingConfig:
        if self.update.kind == "guided" and self.aggregation.kind in ("trimmed", "median_of_means"):
            raise ValueError(
                f"the update guided does not go with the aggregation {self.aggregation.kind}: "
                "take mean or clipped, or another update"
            )
        if self.aggregation.kind != "mean" and self.head is not None:
            raise ValueError("exact gradients of the head are averaged: take the aggregation mean")
        if self.aggregation.kind != "mean" and self.pacing.kind == "slope_test":
            raise ValueError(
                "the slope test believes every client: take another pacing with this aggregation"
            )
        if self.privacy is not None and self.head is not None:
            raise ValueError("noise on slopes does not make an exact gradient of the head private")
        if self.privacy is not None and self.admission.loss != "withheld":
            raise ValueError("private clients withhold their losses: admission.loss is 'withheld'")
        return self


class FlatTensor(Part):
    """A tensor's place in the flat vector: `size` parameters from `offset` on."""

    layer: NonNegativeInt
    matrix: Matrix
    offset: NonNegativeInt
    size: PositiveInt

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)


class FlatLayout(Part):
    """A `ParameterLayout` in a file: what replaying a run needs to know of its model."""

    tensors: tuple[FlatTensor, ...]

    @property
    def parameters(self) -> int:
        return sum(tensor.size for tensor in self.tensors)

    @classmethod
    def of(cls, layout: ParameterLayout) -> FlatLayout:
        return cls(
            tensors=tuple(
                FlatTensor(
                    layer=tensor.layer,
                    matrix=tensor.matrix,
                    offset=tensor.slice.start,
                    size=tensor.slice.stop - tensor.slice.start,
                )
                for tensor in layout.tensors
            )
        )


class Share(Part):
    """What one client does in a round in which it is asked, and with what data."""

    client: str
    probes: PositiveInt
    directions_per_pass: PositiveInt
    batch: PositiveInt
    support: Support
    weight: PositiveFloat = 1.0  # of each of its probes in the average
    examples: PositiveInt
    examples_sha256: str | None  # None: the examples never leave the client


class RunDescription(Contract):
    """run.json: written once; a run continues only under the same description."""

    word: ClassVar[str] = "description of the training run"

    run_id: str  # names the run's files on the devices
    created_at: datetime
    model_sha256: str  # the bundle's, or that of what else fixes the model
    initial_sha256: str  # of the values before round 1
    layout: FlatLayout
    config: TrainingConfig
    shares: tuple[Share, ...]
    held_out_sha256: str | None  # None: the run is not evaluated


class Evaluation(Part):
    """The held-out examples under the values at the end of a round.

    `accuracy` is the share of targets predicted, where the loss is over labels; else None.
    """

    loss: float
    accuracy: float | None
    positions: PositiveInt
    seconds: NonNegativeFloat


class Measurement(Part):
    """One client's admitted answer to one order; a slope per direction.

    `asked_in` is the round of the order, earlier than the record's where the answer came late.
    Bytes are those of the encoded order and answer, without what carries them.
    """

    client: str
    asked_in: PositiveInt
    increment: NonNegativeInt
    distribution: Distribution
    support: Support
    directions: tuple[DirectionName, ...]
    slopes: tuple[float, ...]
    weight: PositiveFloat  # of each probe
    loss: float | None  # None: withheld
    values_from: Literal["held", "updates", "snapshot"]
    seconds: NonNegativeFloat
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt

    def measured(self, round_number: int) -> Measured:
        return Measured(
            client=self.client,
            directions=self.directions,
            distribution=self.distribution,
            support=self.support,
            slopes=np.array(self.slopes, dtype=np.float32),
            weight=self.weight,
            staleness=round_number - self.asked_in,
        )


class AlongSlope(Part):
    """A client's slope along the proposed update, or along the momentum as a guide."""

    client: str
    increment: NonNegativeInt
    of: Literal["update", "momentum"]
    slope: float


class Lost(Part):
    """An order without a usable answer, and why; `asked_in` is the order's round."""

    client: str
    asked_in: NonNegativeInt
    increment: NonNegativeInt
    reason: str


class PacingStep(Part):
    """What the gate saw after an increment."""

    probes: NonNegativeInt
    statistic: float | None
    commit: bool
    reason: str


class StoredOverwrite(Part):
    """`Overwrite` in a file."""

    offset: NonNegativeInt
    values: PackedFloats


class StoredUpdate(Part):
    """`RoundUpdate` in a file."""

    combinations: tuple[Combination, ...] = ()
    momentum: tuple[float, float] | None = None
    overwrites: tuple[StoredOverwrite, ...] = ()

    @classmethod
    def of(cls, update: RoundUpdate) -> StoredUpdate:
        return cls(
            combinations=update.combinations,
            momentum=update.momentum,
            overwrites=tuple(
                StoredOverwrite(offset=each.offset, values=pack(each.values))
                for each in update.overwrites
            ),
        )

    def update(self) -> RoundUpdate:
        return RoundUpdate(
            combinations=self.combinations,
            momentum=self.momentum,
            overwrites=tuple(
                Overwrite(each.offset, unpack(each.values)) for each in self.overwrites
            ),
        )


class RoundRecord(Part):
    """One line of rounds.jsonl. Round 0 is the start: no client took part."""

    round: NonNegativeInt
    loss: float | None  # mean over the clients' batches; None: no client told its loss
    probes: NonNegativeInt  # admitted
    gradient_norm: NonNegativeFloat
    values_norm: NonNegativeFloat  # before the update
    step_norm: NonNegativeFloat
    values_sha256: str  # after the update
    seconds: NonNegativeFloat  # without the evaluation
    bytes_down: NonNegativeInt  # payload, as encoded
    bytes_up: NonNegativeInt
    socket_bytes_down: NonNegativeInt | None = None  # None: no socket lay between
    socket_bytes_up: NonNegativeInt | None = None
    # Of each client, where slopes are private.
    slopes_asked: dict[str, NonNegativeInt] = Field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    along: tuple[AlongSlope, ...] = ()
    head_gradient: PackedFloats | None = None  # the clients' mean, where there is an exact head
    lost: tuple[Lost, ...] = ()
    pacing: tuple[PacingStep, ...] = ()
    update: StoredUpdate = StoredUpdate()
    evaluation: Evaluation | None = None
    stopped: str | None = None  # why the run ends here before its last round

    @property
    def committed(self) -> bool:
        """Whether the round moved the values."""
        return bool(self.pacing) and self.pacing[-1].commit

    @property
    def step_ratio(self) -> float:
        """ρ: the step as a share of the values."""
        return self.step_norm / self.values_norm if self.values_norm > 0 else 0.0
