"""Capability profiles with chosen numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from android_harness.device_facts import DeviceFacts, parse_device_facts
from device_bench.profile import ArmSummary, BackendProfile, CostModel, Interval, Profile

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
) -> Profile:
    """`seconds` are those of a central probe of 4 × 32 tokens, half of them of the tokens."""
    backend = BackendProfile(
        backend="ggml-cpu",
        cost=CostModel(
            fixed_s=seconds / 4,
            per_token_s=seconds / 4 / (4 * 32),
            per_attention_pair_s=0.0,
            per_direction_s=0.0,
            median_relative_error=error,
        ),
        cost_provenance="modelled",
        arms=arms or (arm(1, seconds, joules=joules, spread=spread),),
        peak_memory_bytes=100 << 20,
        verdict=verdict,
        reasons=reasons,
        sustained_factor=sustained,
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
