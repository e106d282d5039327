"""numerics.json, the raw evidence of the numeric gate, and what a profile says of it."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from android_harness.job import Estimator
from exporters.contract import Contract, Part
from exporters.lora.combination import Seed

# What an estimator's noise was told by, the more telling first.
NoiseSource = Literal["exact slopes", "another estimator", "steps", "repetition"]


class StepLosses(Part):
    """The losses at θ + εv and θ − εv for the evidence's first directions v, in nats.

    They are those of the batch of the calibration.
    """

    epsilon: PositiveFloat
    plus: tuple[FiniteFloat, ...]
    minus: tuple[FiniteFloat, ...]

    @property
    def central_slopes(self) -> NDArray[np.float64]:
        """(L₊ − L₋) / 2ε of each direction [n], in nats per unit of it."""
        return (np.array(self.plus) - np.array(self.minus)) / (2 * self.epsilon)

    def forward_less_central(self, base: float) -> NDArray[np.float64]:
        """How far forward slopes at ε are above central ones [n]: (L₊ + L₋ − 2L) / 2ε.

        Args:
            base: the loss L at θ, in nats.
        """
        return (np.array(self.plus) + np.array(self.minus) - 2 * base) / (2 * self.epsilon)


class EstimatorSlopes(Part):
    """The slopes by one estimator along all directions, in nats per unit of them.

    `again` are the first of them, asked of a freshly loaded model.
    """

    estimator: Estimator
    epsilon: PositiveFloat | None  # calibrated; None: a tangent has no step
    # Rounding and curvature of a slope that the calibration expects there, root mean square.
    step_error: NonNegativeFloat | None
    slopes: tuple[FiniteFloat, ...]
    again: tuple[FiniteFloat, ...]


class NumericEvidence(Contract):
    """numerics.json: what a backend computed before it was timed, as it came.

    The questions are those of the manifest's `SlopeReference`, where the bundle has one: then
    `exact` are the slopes of the PyTorch model, `exported_loss` is the loss of the export's own
    engine and `reference_loss` PyTorch's, all on the very same tokens. Without it the tokens are
    random ones of the sweep, and these are None.
    """

    word: ClassVar[str] = "numeric evidence"
    remedy: ClassVar[str] = "remove it and run the same fwdllm bench command: it asks again"

    backend: str | None  # None: the backend failed before it could tell
    failure: str | None = None  # what it said when it failed to compute a loss
    reference_loss: FiniteFloat | None
    exported_loss: FiniteFloat | None
    losses: tuple[tuple[FiniteFloat, ...], ...] = ()  # at θ, of each process
    directions: tuple[Seed, ...]
    exact: tuple[FiniteFloat, ...] | None
    steps: tuple[StepLosses, ...] = ()  # that the calibration looked at, finest first
    calibration_loss: FiniteFloat | None = None  # at θ, of the same batch; None without steps
    measured: tuple[EstimatorSlopes, ...] = ()
    passes: NonNegativeInt = 0  # forward passes over a batch, in all
    wall_s: NonNegativeFloat = 0.0  # on the host's clock, loading included

    @model_validator(mode="after")
    def _one_slope_for_each_direction(self) -> NumericEvidence:
        exact = () if self.exact is None else (self.exact,)
        for slopes in (*exact, *(each.slopes for each in self.measured)):
            if len(slopes) != len(self.directions):
                raise ValueError(f"{len(slopes)} slopes for {len(self.directions)} directions")
        return self

    def is_of(self, backend: str) -> bool:
        return self.backend in (None, backend)

    def epsilon_of(self, estimator: Estimator) -> float | None:
        """The calibrated step; None: the estimator has none, or was not measured."""
        return next((each.epsilon for each in self.measured if each.estimator == estimator), None)


class EstimatorNumerics(Part):
    """How much of an estimator's slopes is signal; measured, nats per unit of direction.

    `signal` is the root mean square of the slopes over `directions` directions, `noise` that of
    their errors (`judge.py` says how either is told), `repeat_noise` the part of it by which slopes
    differ between processes: 0 where bits are equal, as on CPUs.
    """

    estimator: Estimator
    epsilon: PositiveFloat | None  # calibrated; None: a tangent has no step
    directions: PositiveInt
    signal: NonNegativeFloat
    noise: NonNegativeFloat
    noise_from: NoiseSource
    repeat_noise: NonNegativeFloat
    signal_to_noise: NonNegativeFloat | None  # None: no noise was seen
    usable: bool  # for training: signal above noise


class SlopeError(Part):
    """How far a device's slopes are from the exact ones of the PyTorch model; measured.

    `relative_error` is ‖measured − exact‖₂ / ‖exact‖₂ over `directions` directions. It holds the
    error of quantized weights, which all estimators share, beside the estimator's own: rounding
    of activations, and for differences the step `epsilon`. Weights in float32 leave rounding
    alone to tangents, some 1e-6.
    """

    estimator: Estimator
    epsilon: PositiveFloat | None  # None: a tangent has no step
    directions: PositiveInt
    relative_error: NonNegativeFloat

    @property
    def slopes_per_exact_one(self) -> float:
        """How many of these slopes are worth one exact slope: 1 + e².

        A forward gradient is a sum of slopes times directions. Independent errors of variance e²
        add e² to the square of its length and nothing to its part along the gradient, so N such
        slopes align with the gradient as N / (1 + e²) exact ones do, as long as N is far below
        the number of parameters.
        """
        return 1 + self.relative_error**2


class Numerics(Part):
    """What the numeric gate found of a backend; measured, losses in nats.

    `loss_difference` is that of the backend's loss to the export's own engine's, None without one;
    `loss_repeatability` the standard deviation of the loss over repetitions and processes.
    """

    failure: str | None
    loss: FiniteFloat | None  # None: the backend computed none
    loss_difference: NonNegativeFloat | None
    loss_tolerance: NonNegativeFloat | None
    loss_as_exported: bool
    loss_repeatability: NonNegativeFloat | None
    estimators: tuple[EstimatorNumerics, ...]

    @property
    def slopes_are_noise(self) -> bool:
        """Whether no estimator that was measured is usable."""
        return bool(self.estimators) and not any(each.usable for each in self.estimators)

    def of(self, estimator: Estimator) -> EstimatorNumerics | None:
        """What is known of an estimator's slopes; None: they were not measured."""
        return next((each for each in self.estimators if each.estimator == estimator), None)
