"""What one device can offer for a kind of probe: its fastest setting that fits its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from android_harness.job import Estimator
from device_bench.profile import ArmSummary, BackendProfile, Profile
from toolkit.allocation.contract import Modelled

# A phone's memory is shared with everything else that runs on it.
_USABLE_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class ProbeKind:
    """The probes to divide: examples per batch, tokens per example, and how slopes are measured."""

    batch: int
    tokens: int
    estimator: Estimator


@dataclass(frozen=True)
class Offer:
    """The setting that a device would run, and its cost per probe."""

    backend: BackendProfile
    directions_per_pass: int
    seconds_per_probe: Modelled
    peak_memory_bytes: Modelled
    memory_limit_bytes: int | None


class NoOfferError(Exception):
    """The device cannot run this kind of probe; the message says why."""


def best_offer(
    profile: Profile,
    kind: ProbeKind,
    directions_per_pass: Sequence[int],
    *,
    memory_limit_bytes: int | None,
) -> Offer:
    """The fastest backend and number of directions at once that fit the memory limit.

    Without `memory_limit_bytes` the limit is half of the device's memory, where that is known.

    Raises:
        NoOfferError: no backend is usable, or nothing fits.
    """
    usable = [backend for backend in profile.backends if backend.verdict != "invalid"]
    if not usable:
        reasons = [reason for backend in profile.backends for reason in backend.reasons]
        raise NoOfferError(f"invalid profile: {'; '.join(reasons) or 'no backend was measured'}")
    limit = memory_limit_bytes or _usual_limit(profile)
    offers = [
        Offer(
            backend=backend,
            directions_per_pass=directions,
            seconds_per_probe=_seconds_per_probe(backend, kind, directions),
            peak_memory_bytes=peak_memory(backend, kind, directions),
            memory_limit_bytes=limit,
        )
        for backend in usable
        for directions in sorted(directions_per_pass)
    ]
    fitting = [o for o in offers if limit is None or o.peak_memory_bytes.value <= limit]
    if not fitting:
        least = min(offer.peak_memory_bytes.value for offer in offers)
        raise NoOfferError(
            f"needs {least / 1e6:.0f} MB of memory, may use {(limit or 0) / 1e6:.0f}"
        )
    offer = min(fitting, key=lambda offer: offer.seconds_per_probe.value)
    if offer.seconds_per_probe.value <= 0:
        raise NoOfferError("its cost model predicts no time at all for this kind of probe")
    return offer


def peak_memory(backend: BackendProfile, kind: ProbeKind, directions: int) -> Modelled:
    """Peak memory in bytes: measured where this very setting was, else modelled from the others.

    Memory grows with the tokens in flight, batch · tokens · directions. The model goes in a
    straight line through the smallest measured arm and the steepest other one, so it never
    predicts less than an arm showed.
    """
    if arm := _arm(backend, kind, directions):
        return Modelled(value=arm.peak_memory_bytes, provenance=arm.provenance)
    in_flight = kind.batch * kind.tokens * directions
    if not backend.arms:
        return Modelled(value=backend.peak_memory_bytes, provenance="modelled")
    smallest = min(backend.arms, key=_tokens_in_flight)
    origin = _tokens_in_flight(smallest)
    slopes = [
        (arm.peak_memory_bytes - smallest.peak_memory_bytes) / (_tokens_in_flight(arm) - origin)
        for arm in backend.arms
        if _tokens_in_flight(arm) > origin
    ]
    steepest = max([0.0, *slopes])
    value = smallest.peak_memory_bytes + steepest * max(0, in_flight - origin)
    return Modelled(value=value, provenance="modelled")


def _seconds_per_probe(backend: BackendProfile, kind: ProbeKind, directions: int) -> Modelled:
    if arm := _arm(backend, kind, directions):
        return Modelled(value=arm.seconds_per_probe.value, provenance=arm.provenance)
    seconds = backend.cost.probe_seconds(
        batch=kind.batch, tokens=kind.tokens, directions=directions, estimator=kind.estimator
    )
    return Modelled(value=seconds, provenance="modelled")


def _arm(backend: BackendProfile, kind: ProbeKind, directions: int) -> ArmSummary | None:
    setting = (kind.batch, kind.tokens, kind.estimator, directions)
    for arm in backend.arms:
        if (arm.batch, arm.tokens, arm.estimator, arm.directions_per_pass) == setting:
            return arm
    return None


def _tokens_in_flight(arm: ArmSummary) -> int:
    return arm.batch * arm.tokens * arm.directions_per_pass


def _usual_limit(profile: Profile) -> int | None:
    total = profile.device.memory_total_bytes
    return int(total * _USABLE_MEMORY_SHARE) if total else None
