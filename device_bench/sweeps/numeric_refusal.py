"""Stopping a sweep before it times a backend whose numbers are wrong."""

from __future__ import annotations

from pathlib import Path

from device_bench.errors import NumericGateError
from device_bench.fitting.verdict import LOSS_NOT_AS_EXPORTED, SLOPES_ARE_NOISE
from device_bench.numerics.contract import EstimatorNumerics, Numerics


def passes_gate(numerics: Numerics) -> bool:
    """Whether the loss is as exported and some slopes are signal."""
    return numerics.loss_as_exported and not numerics.slopes_are_noise


def refuse_wrong_numbers(numerics: Numerics, device: str, evidence: Path) -> None:
    """Lets a backend pass whose loss is as exported and some of whose slopes are signal.

    Args:
        evidence: the file with what was measured, for the message.

    Raises:
        NumericGateError: any other.
    """
    if not numerics.loss_as_exported:
        raise NumericGateError(
            f"{device} failed the numeric gate: {_loss_text(numerics)}",
            remedy=LOSS_NOT_AS_EXPORTED.remedy,
            file=evidence,
        )
    if numerics.slopes_are_noise:
        found = "; ".join(_noise_text(each) for each in numerics.estimators)
        raise NumericGateError(
            f"{device} failed the numeric gate: its slopes are noise ({found})",
            remedy=SLOPES_ARE_NOISE.remedy,
            file=evidence,
        )


def _loss_text(numerics: Numerics) -> str:
    if numerics.failure is not None:
        return numerics.failure
    if numerics.loss is None or numerics.loss_difference is None:
        return f"its loss is {numerics.loss}"
    return (
        f"its loss is {numerics.loss:.5g}, off by {numerics.loss_difference:.2g} from the "
        f"export's, where {numerics.loss_tolerance:.2g} are allowed"
    )


def _noise_text(found: EstimatorNumerics) -> str:
    step = "" if found.epsilon is None else f" at ε {found.epsilon:.2g}"
    return f"{found.estimator}{step}: signal {found.signal:.2g}, noise {found.noise:.2g}"
