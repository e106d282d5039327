"""Capability profiles with chosen numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from android_harness.facts.device_facts import DeviceFacts, parse_device_facts
from device_bench.costs.cost_model import CostModel
from device_bench.costs.memory_model import MemoryModel, fit_memory_model
from device_bench.fitting.energy_model import fit_energy_model
from device_bench.numerics.contract import EstimatorNumerics, Numerics, SlopeError
from device_bench.profiles.profile import ArmSummary, BackendProfile, Interval, Profile
from device_bench.profiles.version_2 import COUNTING

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUNDLE = "a" * 64


def interval(value: float) -> Interval:
    return Interval(value=value, low=value, high=value)


def arm(
    directions: int = 1,
    seconds: float = 1.0,
    memory: int = 100 << 20,
    *,
    batch: int = 4,
    estimator: str = "central",
    layers: tuple[int, int] | None = None,
    joules: float | None = None,
    spread: float = 0.0,
    low: float | None = None,
    high: float | None = None,
) -> ArmSummary:
    return ArmSummary(
        batch=batch,
        tokens=32,
        directions_per_pass=directions,
        estimator=estimator,
        threads=1,
        repetitions=9,
        jobs=9,
        seconds_per_probe=Interval(
            value=seconds,
            low=seconds if low is None else low,
            high=seconds if high is None else high,
        ),
        relative_spread=spread,
        peak_memory_bytes=memory,
        provenance="measured",
        layers=layers,
        joules_per_probe=None if joules is None else interval(joules),
    )


def cost(seconds: float, *, error: float | None = 0.02) -> CostModel:
    """Of a pass over one copy of 4 × 32 tokens in `seconds`, half of them of the tokens.

    Of the shape `COUNTING`, where a token is a FLOP.
    """
    return CostModel(
        fixed_s=seconds / 2,
        s_per_weight_byte=0.0,
        s_per_flop=seconds / 2 / (4 * 32),
        s_per_attention_flop=0.0,
        s_per_moved_parameter=0.0,
        median_relative_error=error,
    )


def _memory(arms: Sequence[ArmSummary]) -> MemoryModel | None:
    whole = {each.setting: each.peak_memory_bytes for each in arms if each.layers is None}
    return fit_memory_model(COUNTING, list(whole), list(whole.values())) if whole else None


def slope_errors(**errors: float) -> tuple[SlopeError, ...]:
    """The relative errors of estimators by their names."""
    return tuple(
        SlopeError.model_validate(
            {
                "estimator": estimator,
                "epsilon": None if estimator == "tangent" else 0.01,
                "directions": 8,
                "relative_error": error,
            }
        )
        for estimator, error in errors.items()
    )


def numerics(**steps: float | None) -> Numerics:
    """Estimators by their names with their calibrated steps; below 0: their slopes are noise."""
    return Numerics(
        failure=None,
        loss=6.0,
        loss_difference=0.0,
        loss_tolerance=0.06,
        loss_as_exported=True,
        loss_repeatability=0.0,
        estimators=tuple(
            EstimatorNumerics.model_validate(
                {
                    "estimator": estimator,
                    "epsilon": None if step is None else abs(step),
                    "directions": 8,
                    "signal": 1.0,
                    "noise": 2.0 if step is not None and step < 0 else 0.5,
                    "noise_from": "exact slopes",
                    "repeat_noise": 0.0,
                    "signal_to_noise": 0.5 if step is not None and step < 0 else 2.0,
                    "usable": step is None or step > 0,
                }
            )
            for estimator, step in steps.items()
        ),
    )


def facts(memory: int | None) -> DeviceFacts:
    return parse_device_facts("").model_copy(update={"memory_total_bytes": memory})


def profile(
    target: str,
    *,
    seconds: float = 1.0,
    arms: tuple[ArmSummary, ...] | None = None,
    verdict: str = "valid",
    reasons: tuple[str, ...] = (),
    memory: int | None = 8 << 30,
    bundle: str = BUNDLE,
    measured: datetime = NOW,
    days: int = 30,
    sustained: Interval | None = None,
    joules: float | None = None,
    spread: float = 0.0,
    error: float | None = 0.02,
    differences: bool = True,
    tangents: CostModel | None = None,
    errors: tuple[SlopeError, ...] = (),
    numerics: Numerics | None = None,
) -> Profile:
    """`seconds` are those of a central probe of 4 × 32 tokens, half of them of the tokens.

    Without `differences` no cost model of them is known.
    """
    arms = arms or (arm(1, seconds, joules=joules, spread=spread),)
    backend = BackendProfile(
        backend="ggml-cpu",
        cost=cost(seconds / 2, error=error) if differences else None,
        cost_provenance="modelled",
        arms=arms,
        peak_memory_bytes=100 << 20,
        verdict=verdict,
        reasons=reasons,
        sustained_factor=sustained,
        tangent_cost=tangents,
        slope_errors=errors,
        shape=COUNTING,
        memory=_memory([each for each in arms if each.estimator != "tangent"]),
        tangent_memory=_memory([each for each in arms if each.estimator == "tangent"]),
        energy=fit_energy_model(arms),
        numerics=numerics,
    )
    return Profile(
        target=target,
        device=facts(memory),
        backends=(backend,),
        bundle_sha256=bundle,
        runner_sha256="b" * 64,
        measured_at=measured,
        expires_at=measured + timedelta(days=days),
    )
