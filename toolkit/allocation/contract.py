"""allocation.json: which device runs how many probes of a round, and what that will cost."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from android_harness.job import Estimator
from device_bench.profile import Provenance
from exporters.contract import Contract, Part


class Modelled(Part):
    """A number with where it comes from."""

    value: NonNegativeFloat
    provenance: Provenance


class DeviceAllocation(Part):
    """The share of one device. Every cost is of one round.

    `probes` may be 0: the device could take part, but the others are done before it would be.
    """

    target: str
    backend: str
    probes: NonNegativeInt
    directions_per_pass: PositiveInt
    seconds_per_probe: Modelled
    expected_s: NonNegativeFloat  # fixed_s + probes · seconds_per_probe, 0 without probes
    peak_memory_bytes: Modelled
    memory_limit_bytes: PositiveInt | None  # None: the device's memory is unknown
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    warnings: tuple[str, ...] = ()


class LeftOut(Part):
    """A device that takes no part in the round, and why."""

    target: str
    reason: str


class Allocation(Contract):
    """The division of a round's probes over devices.

    `makespan_s` is when the last device is done; no integer division of these probes has a
    smaller one. `lower_bound_s` is what it would be if probes could be split at will.
    """

    word: ClassVar[str] = "allocation"

    bundle_sha256: str
    probes: PositiveInt
    batch: PositiveInt
    tokens: PositiveInt
    estimator: Estimator
    fixed_s: NonNegativeFloat  # per round and device, before its first probe
    devices: tuple[DeviceAllocation, ...]
    left_out: tuple[LeftOut, ...]
    makespan_s: PositiveFloat
    lower_bound_s: PositiveFloat
    makespan_provenance: Provenance
    made_at: datetime
