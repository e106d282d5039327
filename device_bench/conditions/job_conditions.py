"""What held around a job: kept with its samples, so that later rules can judge them."""

from __future__ import annotations

from typing import Self

from pydantic import Field, FiniteFloat, NonNegativeFloat

from android_harness.facts.device_facts import DeviceFacts
from android_harness.facts.device_status import DeviceStatus, FrequencyLimit
from android_harness.facts.fitness import Affects, fit_to_measure
from device_bench.conditions.cooldown import GateOutcome
from device_bench.conditions.heat import HeatGroup, heat_of
from exporters.contract import Part


class Boundary(Part):
    """How a device fared just before or after a job; None (or empty) where it does not tell.

    `celsius` is of the hottest sensor of each group, `thermal_status` 0 (none) to 6 (shutdown).
    `unfit` has the codes of `fit_to_measure`, and whether each affects time, energy or both.
    """

    celsius: dict[HeatGroup, FiniteFloat] = Field(default_factory=dict)
    thermal_status: int | None = None
    battery_percent: float | None = None
    plugged: bool | None = None
    power_saver: bool | None = None
    frequency_limits: tuple[FrequencyLimit, ...] = ()
    unfit: dict[str, Affects] = Field(default_factory=dict)

    @classmethod
    def from_status(cls, facts: DeviceFacts, status: DeviceStatus) -> Self:
        overridden = status.thermal.status_overridden
        return cls(
            celsius=heat_of(status),
            thermal_status=None if overridden else status.thermal.status,
            battery_percent=status.battery.level_percent,
            plugged=status.battery.plugged,
            power_saver=status.power.power_save,
            frequency_limits=status.frequency_limits,
            unfit={each.code: each.affects for each in fit_to_measure(facts, status)},
        )


class JobConditions(Part):
    """What held before and after one job, and how it came through the cooldown gate.

    `after` is None where the device could not be asked any more.
    """

    before: Boundary
    after: Boundary | None
    gate: GateOutcome
    waited_s: NonNegativeFloat

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        return (self.before,) if self.after is None else (self.before, self.after)
