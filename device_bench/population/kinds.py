"""The kinds of device that a population consists of, and how each follows from a measured one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from android_harness.facts.device_facts import DeviceFacts
from device_bench.errors import PopulationError
from device_bench.population.core_designs import Arithmetic
from device_bench.population.device_speed import DeviceSpeed, device_speed
from device_bench.profiles.profile import BackendProfile, Profile
from device_bench.samples.measurement import CPU_BACKENDS


@dataclass(frozen=True)
class PopulationRule:
    """The parameters of the rule that a user chooses.

    Attributes:
        arithmetic: of the model's matrix products: 8-bit integers for quantized bundles.
        spread: standard deviation of the logarithm of seconds among devices of one kind.
        sustained: from which to which factor phones slow down when hot, drawn evenly; only where
            that of the measured device is not known.
        measured_khz: clock of measured devices that do not tell theirs.
    """

    arithmetic: Arithmetic = "int8"
    spread: float = 0.1
    sustained: tuple[float, float] = (1.0, 1.5)
    measured_khz: float | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of device: what it is, and how its seconds follow from a measured profile."""

    name: str
    measured: Profile
    backends: tuple[BackendProfile, ...]
    device: DeviceFacts
    compute_factor: float
    memory_factor: float
    speed: DeviceSpeed | None = None  # None: the measured device itself
    measured_speed: DeviceSpeed | None = None

    @property
    def threads(self) -> int | None:
        return None if self.speed is None else self.speed.threads


def kinds_of(measured: Sequence[Profile]) -> list[Kind]:
    """The measured devices themselves.

    Raises:
        PopulationError: a profile has no backend that is of use.
    """
    return [
        Kind(profile.target, profile, _usable(profile), profile.device, 1.0, 1.0)
        for profile in measured
    ]


def phone_kinds(
    measured: Sequence[Profile], phones: Mapping[str, DeviceFacts], rule: PopulationRule
) -> tuple[list[Kind], dict[str, str]]:
    """Phones of which facts are known, each modelled from the measured device nearest in speed.

    Returns:
        The kinds, and the phones whose facts do not suffice, with the reason.

    Raises:
        PopulationError: a measured device cannot be compared with phones, or no phone can be
            modelled.
    """
    bases = [(profile, _cpu_backends(profile), _base_speed(profile, rule)) for profile in measured]
    kinds, left_out = [], {}
    for name, facts in phones.items():
        try:
            speed = device_speed(facts, rule.arithmetic)
        except PopulationError as reason:
            left_out[name] = reason.message
            continue
        profile, backends, base = min(
            bases, key=lambda each: abs(math.log(each[2].per_second / speed.per_second))
        )
        kinds.append(
            Kind(
                name=name,
                measured=profile,
                backends=backends,
                device=facts,
                compute_factor=base.per_second / speed.per_second,
                memory_factor=base.gb_per_s / speed.gb_per_s,
                speed=speed,
                measured_speed=base,
            )
        )
    if not kinds:
        raise PopulationError(
            "no phone's facts suffice: "
            + ("; ".join(f"{name}: {why}" for name, why in left_out.items()) or "there are none"),
            remedy="give recordings with their cores' clocks, or take the classes",
        )
    return kinds, left_out


def _usable(profile: Profile) -> tuple[BackendProfile, ...]:
    if profile.derivation is not None:
        raise PopulationError(
            f"the profile of {profile.target} is itself modelled",
            remedy="give profiles of devices that were measured",
        )
    usable = tuple(backend for backend in profile.backends if backend.verdict != "invalid")
    if not usable:
        raise PopulationError(
            f"the profile of {profile.target} is invalid", remedy="measure the device again"
        )
    return usable


def _cpu_backends(profile: Profile) -> tuple[BackendProfile, ...]:
    """Only what runs on the cores grows with their speed."""
    usable = tuple(each for each in _usable(profile) if each.backend in CPU_BACKENDS)
    if not usable:
        raise PopulationError(
            f"the profile of {profile.target} is of no backend that computes on the cores",
            remedy=f"measure with one of {', '.join(CPU_BACKENDS)}",
        )
    return usable


def _base_speed(profile: Profile, rule: PopulationRule) -> DeviceSpeed:
    threads = max(arm.threads for backend in _cpu_backends(profile) for arm in backend.arms)
    try:
        return device_speed(
            profile.device, rule.arithmetic, threads=threads, clock_khz=rule.measured_khz
        )
    except PopulationError as reason:
        raise PopulationError(
            f"the profile of {profile.target} cannot be compared with phones: {reason.message}",
            remedy="say how its cores are clocked (--measured-ghz)"
            if profile.device.clusters
            else "profile it with this version of fwdllm",
        ) from reason
