"""What one sweep measures on its device, how often and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any

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
from device_bench.costs.setting import LossPositions, Setting
from device_bench.errors import SweepSettingsError
from exporters.contract import Part
from exporters.lora.combination import Seed
from exporters.lora.request import layers_text

CpuMask = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{1,128}$")]


class Arm(Part):
    """One setting to be timed: `batch` examples of `tokens` tokens each.

    `layers` is the inclusive range of layers whose LoRA moves; None: all adapted layers. What the
    layers below a range compute is kept, so its time is that of the layers from its first on.
    `cpu_mask` names the cores that its `threads` may use, in hexadecimal; None: any.
    """

    batch: PositiveInt
    tokens: PositiveInt
    directions_per_pass: PositiveInt
    estimator: Estimator
    layers: tuple[NonNegativeInt, NonNegativeInt] | None = None
    threads: PositiveInt
    cpu_mask: CpuMask | None = None

    @model_validator(mode="after")
    def _first_layer_is_not_above_the_last(self) -> Arm:
        if self.layers is not None and self.layers[0] > self.layers[1]:
            raise ValueError(f"layers {layers_text(self.layers)} are none")
        return self

    @property
    def placement(self) -> tuple[int, str | None]:
        """Where it computes: threads and the cores they may use."""
        return self.threads, self.cpu_mask

    @property
    def setting(self) -> Setting:
        """What it computes; equal for arms that differ in their placement alone."""
        return Setting(
            self.batch, self.tokens, self.estimator, self.directions_per_pass, self.layers
        )

    @property
    def work_label(self) -> str:
        """What it computes, in words."""
        moving = "all layers" if self.layers is None else f"layers {layers_text(self.layers)}"
        return (
            f"batch {self.batch}, {self.tokens} tokens, {self.directions_per_pass} at once, "
            f"{self.estimator}, {moving}"
        )

    @property
    def label(self) -> str:
        """The arm in words, for progress and messages."""
        return f"{self.work_label}, {placement_text(*self.placement)}"


def cores_in(cpu_mask: str | None) -> int:
    """How many cores a mask names; 0 for None."""
    return 0 if cpu_mask is None else int(cpu_mask, 16).bit_count()


def placement_text(threads: int, cpu_mask: str | None) -> str:
    """Threads and cores, in words."""
    count = "1 thread" if threads == 1 else f"{threads} threads"
    return count if cpu_mask is None else f"{count} on {cpu_mask}"


def arms_of(
    batches: Sequence[int],
    tokens: Sequence[int],
    directions: Sequence[int],
    estimators: Sequence[str],
    layers: Sequence[tuple[int, int] | None] = (None,),
    placements: Sequence[tuple[int, str | None]] = ((1, None),),
) -> tuple[Arm, ...]:
    """Every combination of the given values once, in the order given.

    `placements` are pairs of threads and CPU mask.

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
                    "threads": threads,
                    "cpu_mask": cpu_mask,
                }
            )
            for batch, length, at_once, estimator, moving, (threads, cpu_mask) in product(
                batches, tokens, directions, estimators, layers, placements
            )
        ]
    except ValidationError as error:
        raise settings_error(error) from error
    if not arms:
        raise SweepSettingsError(
            "the sweep has no arms",
            remedy="give at least one batch, token count, direction count, estimator, range of "
            "layers and placement",
        )
    return tuple(dict.fromkeys(arms))


class Slot(Part):
    """One job of a sweep: an arm, by its index in the plan, in one of the blocks."""

    block: NonNegativeInt
    arm: NonNegativeInt


class SweepPlan(Part):
    """The settings of a sweep; two sweeps with equal plans measure the same thing.

    Every arm is measured once in each of the first `blocks` blocks, and then once in each further
    one, up to `most_blocks`, until its interval is as narrow as `precision`
    (`samples/stop_rule.py`). The process of a job warms up as `warmup` says before `repetitions`
    that count. Such a repetition is as many whole probes as fill `minimum_ms`, so that arms which
    are shorter than the interruptions of a busy device average over them. `loss_positions` says
    whether examples have a loss at their last position, as a classification fine-tune has, or at
    all of them.
    """

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    warmup: Warmup
    repetitions: PositiveInt
    minimum_ms: NonNegativeInt
    blocks: PositiveInt
    most_blocks: PositiveInt
    # Relative half-width of the 95 % interval; None: no arm is done before `most_blocks`.
    precision: Annotated[PositiveFloat, Field(allow_inf_nan=False)] | None
    seed: Seed
    loss_positions: LossPositions

    @model_validator(mode="after")
    def _least_is_not_above_the_most(self) -> SweepPlan:
        if self.blocks > self.most_blocks:
            raise ValueError(f"{self.blocks} blocks at least contradict {self.most_blocks} at most")
        return self

    def shuffled(self) -> tuple[Slot, ...]:
        """All jobs that may be, block after block, each block in an order drawn from `seed`.

        Interleaving spreads slow changes of the device (heat, other load) over all arms instead
        of letting them fall on the arms that happen to come last.
        """
        generator = np.random.default_rng(self.seed)
        return tuple(
            Slot(block=block, arm=int(arm))
            for block in range(self.most_blocks)
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
        raise settings_error(error) from error


def settings_error(error: ValidationError) -> SweepSettingsError:
    """What is wrong with the settings of a sweep, by the name of the first wrong one."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"][:2])  # field and entry
    what = f"the sweep cannot have {place} = {problem['input']!r}" if place else "the sweep"
    return SweepSettingsError(
        f"{what}: {problem['msg']}",
        remedy="change that setting of the benchmark",
    )
