"""What the evidence of the numeric gate says: is the loss right, and are the slopes signal?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from android_harness.job import Estimator
from device_bench.numerics.contract import (
    EstimatorNumerics,
    EstimatorSlopes,
    NoiseSource,
    NumericEvidence,
    Numerics,
    SlopeError,
)
from device_bench.statistics import root_mean_square

# Of the loss: room for a backend that computes in half precision, whose numbers are off by
# 2⁻¹¹ = 0.05 % each, while a wrong kernel moves a loss by tens of percent.
_LOSS_SHARE = 0.01
# The error that a calibration expects is one of eight directions, and off by a half at times.
_UNSURE = 1.5


def judge_numerics(evidence: NumericEvidence) -> Numerics:
    """The findings that a profile keeps, and that rules judge."""
    losses = np.array([loss for process in evidence.losses for loss in process])
    loss = float(losses.mean()) if len(losses) else None
    tolerance = _loss_tolerance(evidence)
    difference = (
        None
        if loss is None or evidence.exported_loss is None
        else float(np.max(np.abs(losses - evidence.exported_loss)))
    )
    return Numerics(
        failure=evidence.failure,
        loss=loss,
        loss_difference=difference,
        loss_tolerance=tolerance,
        loss_as_exported=evidence.failure is None and _is_as_exported(loss, difference, tolerance),
        loss_repeatability=float(losses.std(ddof=1)) if len(losses) > 1 else None,
        estimators=tuple(_estimator(evidence, each) for each in evidence.measured),
    )


def slope_errors(evidence: NumericEvidence) -> tuple[SlopeError, ...]:
    """The error of each estimator against the exact slopes, where there are any."""
    if evidence.exact is None:
        return ()
    exact = np.array(evidence.exact)
    return tuple(
        SlopeError(
            estimator=each.estimator,
            epsilon=each.epsilon,
            directions=len(evidence.directions),
            relative_error=root_mean_square(np.array(each.slopes) - exact)
            / root_mean_square(exact),
        )
        for each in evidence.measured
    )


def _loss_tolerance(evidence: NumericEvidence) -> float | None:
    """What a right backend's loss may be off by, in nats; None: nothing to compare it with.

    As much again as quantization moved the loss at export, for activations that the backend rounds
    in another way than the export's engine, and `_LOSS_SHARE` of the loss for its arithmetic.
    """
    if evidence.exported_loss is None or evidence.reference_loss is None:
        return None
    quantized = abs(evidence.exported_loss - evidence.reference_loss)
    return quantized + _LOSS_SHARE * abs(evidence.reference_loss)


def _is_as_exported(loss: float | None, difference: float | None, tolerance: float | None) -> bool:
    """Where nothing is known of the loss, it must be a number above 0 at least."""
    if loss is None or loss <= 0:
        return False
    return difference is None or tolerance is None or difference <= tolerance


class _Noise(NamedTuple):
    """The root mean squares of slopes without their errors, and of these."""

    signal: float
    noise: float
    source: NoiseSource


def _estimator(evidence: NumericEvidence, measured: EstimatorSlopes) -> EstimatorNumerics:
    slopes = np.array(measured.slopes)
    again = np.array(measured.again)
    repeat = root_mean_square(slopes[: len(again)] - again) / 2**0.5 if len(again) else 0.0
    signal, noise, source = _noise(evidence, measured, slopes, repeat)
    return EstimatorNumerics(
        estimator=measured.estimator,
        epsilon=measured.epsilon,
        directions=len(evidence.directions),
        signal=signal,
        noise=noise,
        noise_from=source,
        repeat_noise=repeat,
        signal_to_noise=signal / noise if noise > 0 else None,
        usable=signal > noise,
    )


def _noise(
    evidence: NumericEvidence,
    measured: EstimatorSlopes,
    slopes: NDArray[np.float64],
    repeat: float,
) -> _Noise:
    """Signal and noise by what tells most.

    * Against exact slopes: noise is the root mean square of measured less exact slopes over
      directions, signal that of the exact ones. It holds rounding, curvature,
      quantized weights and what differs between runs. The ratio is 1 / relative error.
    * Else against the backend's other kind of estimator: tangents and differences share no error
      but that of the weights, so what they disagree by is the error of one of them.
    * Else, for differences alone, by the steps of the calibration: `_UNSURE` times the rounding and
      curvature expected at ε.
    * Else, for tangents alone, by what differs between processes: the least that noise can be.

    In the last two the signal is what noise leaves of the mean square of the slopes.

    An estimator is usable while signal exceeds noise, a relative error below 1: at 1, a slope is
    worth half an exact one (`SlopeError.slopes_per_exact_one`, 1 + e²). For a central difference
    whose losses have noise σ, that is to ask for |L₊ − L₋| above k·σ with k = √2, as benchmarks
    that check numbers before times do (AI Benchmark's accuracy penalty), with σ the rounding of a
    loss when values move, and not only its repeatability: that is 0 on a CPU, which repeats its
    rounding to the last bit.
    """
    if evidence.exact is not None:
        exact = np.array(evidence.exact)
        return _Noise(root_mean_square(exact), root_mean_square(slopes - exact), "exact slopes")
    other = _other_kind(evidence, measured.estimator)
    if other is not None:
        signal = min(root_mean_square(slopes), root_mean_square(other))
        return _Noise(signal, root_mean_square(slopes - other), "another estimator")
    source: NoiseSource
    if measured.step_error is not None:
        noise, source = max(_UNSURE * measured.step_error, repeat), "steps"
    else:
        noise, source = repeat, "repetition"
    return _Noise(max(root_mean_square(slopes) ** 2 - noise**2, 0.0) ** 0.5, noise, source)


def _other_kind(evidence: NumericEvidence, estimator: Estimator) -> NDArray[np.float64] | None:
    """The slopes of tangents for differences, and of differences for tangents."""
    others: tuple[Estimator, ...] = (
        ("central", "forward") if estimator == "tangent" else ("tangent",)
    )
    slopes = {each.estimator: np.array(each.slopes) for each in evidence.measured}
    found = [slopes[other] for other in others if other in slopes]
    return found[0] if found else None
