"""The job file: what the native runner is asked to do, in one JSON file on the device.

Paths are relative to the job file's folder or absolute on the device. The runner performs the
tasks in order and writes one record per event (see `records.py`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from exporters.contract import Contract, Part
from exporters.lora.directions import SEED_LIMIT, Distribution

Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
Estimator = Literal["central", "forward"]


class VocabularyLoss(Part):
    """Cross entropy over the whole vocabulary at every position that has a target."""

    kind: Literal["vocabulary"] = "vocabulary"


class VerbalizerLoss(Part):
    """Cross entropy over the label tokens alone (classification by prompt and verbalizer).

    Targets are token ids and must be among `tokens`.
    """

    kind: Literal["verbalizer"] = "verbalizer"
    tokens: tuple[int, ...] = Field(min_length=2)


Loss = Annotated[VocabularyLoss | VerbalizerLoss, Field(discriminator="kind")]


class Probing(Part):
    """How slopes are measured.

    `batch` lists examples by their line in the examples file. `layers` is the inclusive range of
    layers whose LoRA moves (None: all adapted layers); elsewhere the direction is zero.
    """

    batch: tuple[NonNegativeInt, ...] = Field(min_length=1)
    estimator: Estimator = "central"
    epsilon: PositiveFloat
    distribution: Distribution = "rademacher"
    directions_per_pass: PositiveInt = 1
    layers: tuple[NonNegativeInt, NonNegativeInt] | None = None


class ProbeTask(Probing):
    """Measure one slope per seed; a `probe` record each."""

    kind: Literal["probe"] = "probe"
    seeds: tuple[Seed, ...] = Field(min_length=1)


class TimeTask(Probing):
    """Time probes: a `sample` record per repetition.

    A repetition measures `directions_per_pass` new directions, and again as many until it has
    lasted `minimum_ns`. Under `forward` the first repetition also runs the task's one base pass.
    """

    kind: Literal["time"] = "time"
    warmup: NonNegativeInt
    repetitions: PositiveInt
    minimum_ns: NonNegativeInt = 0
    first_seed: Seed = 1


class EvaluateTask(Part):
    """Evaluate examples: loss and predicted tokens, in an `evaluation` record."""

    kind: Literal["evaluate"] = "evaluate"
    batch: tuple[NonNegativeInt, ...] = Field(min_length=1)


Task = Annotated[ProbeTask | TimeTask | EvaluateTask, Field(discriminator="kind")]


class Job(Contract):
    """One run of the native runner.

    LoRA values are `lora_values` (raw little-endian float32 [parameters] in layout order), or the
    adapter's own when None. `updates` are added first, in order: θ ← θ + coefficient · direction,
    in float32, so that every replica stays bit-identical; the result is written to
    `lora_values_out` when given.
    """

    word: ClassVar[str] = "job"

    model: str
    adapter: str
    examples: str
    lora_values: str | None = None
    updates: tuple[tuple[Seed, float], ...] = ()
    lora_values_out: str | None = None
    loss: Loss = VocabularyLoss()
    threads: PositiveInt
    cpu_mask: str | None = Field(default=None, pattern=r"^0x[0-9a-fA-F]{1,128}$")
    tasks: tuple[Task, ...] = ()
