"""What one device can offer for a kind of probe: the settings that fit its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device_bench.costs.cost_model import CostModel
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape
from device_bench.profiles.profile import ArmSummary, BackendProfile, Profile
from toolkit.allocation.contract import Modelled
from toolkit.allocation.uncertainty import (
    interval_sigma,
    measured_sigma,
    modelled_sigma,
    together,
)

# A phone's memory is shared with everything else that runs on it.
_USABLE_MEMORY_SHARE = 0.5


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

    A setting that was not measured is priced by the backend's models, a range of layers too.
    Estimators whose slopes are noise on a backend are not offered, however fast they are.

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
    """Peak memory in bytes: measured where this very setting was, else modelled.

    Where no model knows the setting it is the largest peak of any arm, which may be too little.
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
        self._arms = {arm.setting: arm for arm in backend.arms}

    def offers_for(self, settings: Sequence[Setting]) -> Iterator[Offer]:
        for setting in settings:
            if (offer := self._offer(setting)) is not None:
                yield offer

    def _offer(self, setting: Setting) -> Offer | None:
        backend, arm = self._backend, self._arms.get(setting)
        warnings: list[str] = []
        if arm is not None:
            seconds, sigma = arm.seconds_per_probe.value, measured_sigma(arm)
            provenance = arm.provenance
        else:
            modelled, model = backend.modelled_seconds(setting), backend.cost_of(setting.estimator)
            if modelled is None or model is None:
                return None
            error = model.median_relative_error
            seconds, sigma = modelled, modelled_sigma(backend.arms, error)
            provenance = "modelled"
            warnings += _doubts(model, setting, backend.shape)
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
        shape, hot = self._backend.shape, self._backend.sustained_factor
        below = setting.layers is not None and (shape is None or shape.keeps_frozen_layers)
        if setting.estimator != "forward" and not below:
            return 0.0
        one_pass = self._backend.pass_seconds(batch=setting.batch, tokens=setting.tokens)
        return None if one_pass is None else one_pass * (hot.value if hot is not None else 1.0)

    def _joules(self, arm: ArmSummary | None, seconds: float) -> Modelled | None:
        """Measured with this very setting, else by the energy model, for as long as it runs."""
        if arm is not None and arm.joules_per_probe is not None:
            return Modelled(value=arm.joules_per_probe.value, provenance=arm.provenance)
        if self._backend.energy is None:
            return None
        return Modelled(value=self._backend.energy.watts.value * seconds, provenance="modelled")

    def peak_memory(self, setting: Setting) -> Modelled:
        if arm := self._arms.get(setting):
            return Modelled(value=arm.peak_memory_bytes, provenance=arm.provenance)
        modelled = self._backend.modelled_bytes(setting)
        return Modelled(
            value=self._backend.peak_memory_bytes if modelled is None else modelled,
            provenance="modelled",
        )


def _doubts(model: CostModel, setting: Setting, shape: ModelShape | None) -> Iterator[str]:
    if model.median_relative_error is None:
        yield "the error of its cost model is not known and counts as none"
    skips = shape is not None and shape.keeps_frozen_layers
    if setting.layers is not None and skips and model.undetermined:
        yield (
            "its arms do not tell what a pass costs from what its layers cost, so its seconds for "
            "a range of layers are a guess"
        )
