"""What a sweep measures, how often and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from android_harness.job import Estimator, Warmup
from device_bench.errors import SweepSettingsError
from exporters.contract import Part
from exporters.lora.combination import Seed
from exporters.lora.request import layers_text

LossPositions = Literal["last", "all"]


class Arm(Part):
    """One setting to be timed: `batch` examples of `tokens` tokens each.

    `layers` is the inclusive range of layers whose LoRA moves; None: all adapted layers. What the
    layers below a range compute is kept, so its time is that of the layers from its first on.
    """

    batch: PositiveInt
    tokens: PositiveInt
    directions_per_pass: PositiveInt
    estimator: Estimator
    layers: tuple[NonNegativeInt, NonNegativeInt] | None = None

    @model_validator(mode="after")
    def _first_layer_is_not_above_the_last(self) -> Arm:
        if self.layers is not None and self.layers[0] > self.layers[1]:
            raise ValueError(f"layers {layers_text(self.layers)} are none")
        return self

    @property
    def label(self) -> str:
        """The arm in words, for progress and messages."""
        moving = "all layers" if self.layers is None else f"layers {layers_text(self.layers)}"
        return (
            f"batch {self.batch}, {self.tokens} tokens, "
            f"{self.directions_per_pass} at once, {self.estimator}, {moving}"
        )


def arms_of(
    batches: Sequence[int],
    tokens: Sequence[int],
    directions: Sequence[int],
    estimators: Sequence[str],
    layers: Sequence[tuple[int, int] | None] = (None,),
) -> tuple[Arm, ...]:
    """Every combination of the given values once, in the order given.

    Raises:
        SweepSettingsError: a list is empty, or holds a value that no arm can have.
    """
    try:
        arms = [
            Arm.model_validate(
                {
                    "batch": batch,
                    "tokens": length,
                    "directions_per_pass": at_once,
                    "estimator": estimator,
                    "layers": moving,
                }
            )
            for batch, length, at_once, estimator, moving in product(
                batches, tokens, directions, estimators, layers
            )
        ]
    except ValidationError as error:
        raise _settings_error(error) from error
    if not arms:
        raise SweepSettingsError(
            "the sweep has no arms",
            remedy="give at least one batch, token count, direction count, estimator and range "
            "of layers",
        )
    return tuple(dict.fromkeys(arms))


class Slot(Part):
    """One job of a sweep: an arm, by its index in the plan, in one of the blocks."""

    block: NonNegativeInt
    arm: NonNegativeInt


class SweepPlan(Part):
    """The settings of a sweep; two sweeps with equal plans measure the same thing.

    Every arm is measured once in each of `blocks` blocks, by a process that warms up as `warmup`
    says before `repetitions` that count. Such a repetition is as many whole probes as fill
    `minimum_ms`, so that arms which are shorter than the interruptions of a busy device average
    over them. `loss_positions` says whether examples have a loss at their last position, as a
    classification fine-tune has, or at all of them.
    """

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    threads: PositiveInt
    cpu_mask: Annotated[str | None, Field(pattern=r"^0x[0-9a-fA-F]{1,128}$")]
    warmup: Warmup
    repetitions: PositiveInt
    minimum_ms: NonNegativeInt
    blocks: PositiveInt
    epsilon: Annotated[PositiveFloat, Field(allow_inf_nan=False)]
    seed: Seed
    loss_positions: LossPositions

    def shuffled(self) -> tuple[Slot, ...]:
        """All jobs, block after block, the arms of each block in an order drawn from `seed`.

        Interleaving spreads slow changes of the device (heat, other load) over all arms instead
        of letting them fall on the arms that happen to come last.
        """
        generator = np.random.default_rng(self.seed)
        return tuple(
            Slot(block=block, arm=int(arm))
            for block in range(self.blocks)
            for arm in generator.permutation(len(self.arms))
        )


def sweep_plan(**settings: Any) -> SweepPlan:
    """The plan with these fields.

    Raises:
        SweepSettingsError: a value is out of range; the message names the field.
    """
    try:
        return SweepPlan.model_validate(settings)
    except ValidationError as error:
        raise _settings_error(error) from error


def _settings_error(error: ValidationError) -> SweepSettingsError:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return SweepSettingsError(
        f"the sweep cannot have {place} = {problem['input']!r}: {problem['msg']}",
        remedy="change that setting of the benchmark",
    )
