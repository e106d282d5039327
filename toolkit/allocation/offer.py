"""What one device can offer for a kind of probe: the settings that fit its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from android_harness.job import Estimator
from device_bench.profile import ArmSummary, BackendProfile, Profile
from toolkit.allocation.contract import Layers, Modelled
from toolkit.allocation.uncertainty import (
    interval_sigma,
    measured_sigma,
    modelled_sigma,
    together,
)

# A phone's memory is shared with everything else that runs on it.
_USABLE_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class Setting:
    """How a device would run probes; `layers` None: all adapted layers move."""

    batch: int
    tokens: int
    estimator: Estimator
    directions_per_pass: int
    layers: Layers | None = None

    @property
    def tokens_in_flight(self) -> int:
        """Columns of a pass: of every perturbed copy, or of the point itself and its tangents."""
        copies = self.directions_per_pass + (self.estimator == "tangent")
        return self.batch * self.tokens * copies


@dataclass(frozen=True)
class Offer:
    """A setting that a device can run, and its cost per probe.

    `sigma` is the standard deviation of the logarithm of its seconds; `base_pass_s` what it pays
    once a round, beside its probes: the unperturbed pass of the `forward` estimator, and for a
    range of layers the pass through those below it, which counts as a whole one.
    """

    backend: BackendProfile
    setting: Setting
    seconds_per_probe: Modelled
    sigma: float
    base_pass_s: float
    peak_memory_bytes: Modelled
    joules_per_probe: Modelled | None
    warnings: tuple[str, ...]


class NoOfferError(Exception):
    """The device cannot run this kind of probe; the message says why."""


def offers(
    profile: Profile, settings: Sequence[Setting], *, memory_limit_bytes: int | None
) -> list[Offer]:
    """The settings that the device's usable backends can run within the memory limit.

    A range of layers is offered only in a setting that was measured with it: the cost models are
    of probes that move all adapted layers. Estimators whose slopes are noise on a backend are not
    offered, however fast they are.

    Args:
        memory_limit_bytes: None: half of the device's own memory, where that is known.

    Raises:
        NoOfferError: no backend is usable, or nothing fits.
    """
    usable = [backend for backend in profile.backends if backend.verdict != "invalid"]
    if not usable:
        reasons = [reason for backend in profile.backends for reason in backend.reasons]
        raise NoOfferError(f"invalid profile: {'; '.join(reasons) or 'no backend was measured'}")
    useful = {
        backend.backend: [each for each in settings if not backend.is_noise(each.estimator)]
        for backend in usable
    }
    if not any(useful.values()):
        estimators = dict.fromkeys(each.estimator for each in settings)
        raise NoOfferError(f"its slopes by {' and '.join(estimators)} are noise")
    possible = [
        offer for backend in usable for offer in _Costs(backend).offers_for(useful[backend.backend])
    ]
    if not possible:
        raise NoOfferError("its profile does not tell what this kind of probe costs")
    limit = memory_limit(profile, memory_limit_bytes)
    fitting = [o for o in possible if limit is None or o.peak_memory_bytes.value <= limit]
    if not fitting:
        least = min(offer.peak_memory_bytes.value for offer in possible)
        raise NoOfferError(
            f"needs {least / 1e6:.0f} MB of memory, may use {(limit or 0) / 1e6:.0f}"
        )
    return fitting


def memory_limit(profile: Profile, asked_bytes: int | None = None) -> int | None:
    """What a device may use: `asked_bytes`, else half of its memory; None where that is unknown."""
    total = profile.device.memory_total_bytes
    return asked_bytes or (int(total * _USABLE_MEMORY_SHARE) if total else None)


def peak_memory(backend: BackendProfile, setting: Setting) -> Modelled:
    """Peak memory in bytes: measured where this very setting was, else modelled from the others.

    Memory grows with the tokens in flight, batch · tokens · directions. The model goes in a
    straight line through the smallest measured arm and the steepest other one, so it never
    predicts less than an arm showed. Tangents hold more for each token than perturbed copies, so
    the line is through arms of the setting's own kind, where there are any.
    """
    return _Costs(backend).peak_memory(setting)


def probe_seconds(backend: BackendProfile, setting: Setting) -> Modelled | None:
    """Seconds per probe in the setting, hot where that was measured; None: not known."""
    offer = next(_Costs(backend).offers_for([setting]), None)
    return None if offer is None else offer.seconds_per_probe


class _Costs:
    """The costs of one backend by setting."""

    def __init__(self, backend: BackendProfile) -> None:
        self._backend = backend
        self._arms = {_setting_of(arm): arm for arm in backend.arms}

    def offers_for(self, settings: Sequence[Setting]) -> Iterator[Offer]:
        for setting in settings:
            if (offer := self._offer(setting)) is not None:
                yield offer

    def _offer(self, setting: Setting) -> Offer | None:
        backend, arm = self._backend, self._arms.get(setting)
        model = backend.cost_of(setting.estimator) if setting.layers is None else None
        warnings: list[str] = []
        if arm is not None:
            seconds, sigma = arm.seconds_per_probe.value, measured_sigma(arm)
            provenance = arm.provenance
        elif model is not None:
            error = model.median_relative_error
            seconds = model.probe_seconds(
                batch=setting.batch,
                tokens=setting.tokens,
                directions=setting.directions_per_pass,
                estimator=setting.estimator,
            )
            sigma, provenance = modelled_sigma(backend.arms, error), "modelled"
            if error is None:
                warnings.append("the error of its cost model is not known and counts as none")
        else:
            return None
        base_pass_s = self._base_pass_s(setting)
        if base_pass_s is None:
            warnings.append("what it pays once a round is not known and counts as nothing")
        if seconds <= 0:
            return None
        if (hot := backend.sustained_factor) is not None:
            seconds, provenance = seconds * hot.value, "modelled"
            sigma = together(sigma, interval_sigma(hot))
        return Offer(
            backend=backend,
            setting=setting,
            seconds_per_probe=Modelled(value=seconds, provenance=provenance),
            sigma=sigma,
            base_pass_s=base_pass_s or 0.0,
            peak_memory_bytes=self.peak_memory(setting),
            joules_per_probe=self._joules(arm, seconds),
            warnings=tuple(warnings),
        )

    def _base_pass_s(self, setting: Setting) -> float | None:
        """Seconds once a round; None: not known."""
        if setting.estimator != "forward" and setting.layers is None:
            return 0.0
        if self._backend.cost is None:
            return None
        hot = self._backend.sustained_factor
        return self._backend.cost.pass_seconds(
            batch=setting.batch, tokens=setting.tokens, directions=1
        ) * (hot.value if hot is not None else 1.0)

    def _joules(self, arm: ArmSummary | None, seconds: float) -> Modelled | None:
        """Measured with this very setting, else from the median power of the other arms."""
        if arm is not None and arm.joules_per_probe is not None:
            return Modelled(value=arm.joules_per_probe.value, provenance=arm.provenance)
        if self.watts is None:
            return None
        return Modelled(value=self.watts * seconds, provenance="modelled")

    @cached_property
    def watts(self) -> float | None:
        powers = [
            arm.joules_per_probe.value / arm.seconds_per_probe.value
            for arm in self._backend.arms
            if arm.joules_per_probe is not None
        ]
        return median(powers) if powers else None

    def peak_memory(self, setting: Setting) -> Modelled:
        if arm := self._arms.get(setting):
            return Modelled(value=arm.peak_memory_bytes, provenance=arm.provenance)
        if not self._arms:
            return Modelled(value=self._backend.peak_memory_bytes, provenance="modelled")
        smallest, steepest = self._memory_lines[setting.estimator == "tangent"]
        more = max(0, setting.tokens_in_flight - _setting_of(smallest).tokens_in_flight)
        return Modelled(value=smallest.peak_memory_bytes + steepest * more, provenance="modelled")

    @cached_property
    def _memory_lines(self) -> dict[bool, tuple[ArmSummary, float]]:
        """The line for tangents (True) and that for differences (False)."""
        whole = [arm for arm in self._backend.arms if arm.layers is None]
        return {
            tangents: _memory_line(
                [arm for arm in whole if (arm.estimator == "tangent") == tangents]
                or self._backend.arms
            )
            for tangents in (True, False)
        }


def _memory_line(arms: Sequence[ArmSummary]) -> tuple[ArmSummary, float]:
    """The smallest arm, and the steepest rise from it in bytes per token in flight."""
    smallest = min(arms, key=lambda arm: _setting_of(arm).tokens_in_flight)
    origin = _setting_of(smallest).tokens_in_flight
    slopes = [
        (arm.peak_memory_bytes - smallest.peak_memory_bytes)
        / (_setting_of(arm).tokens_in_flight - origin)
        for arm in arms
        if _setting_of(arm).tokens_in_flight > origin
    ]
    return smallest, max([0.0, *slopes])


def watts(backend: BackendProfile) -> float | None:
    """The median power of the backend's arms while they compute; None: not measured."""
    return _Costs(backend).watts


def _setting_of(arm: ArmSummary) -> Setting:
    return Setting(arm.batch, arm.tokens, arm.estimator, arm.directions_per_pass, arm.layers)
