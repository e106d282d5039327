"""Fitting the energy model of a backend to the arms whose energy was measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from device_bench.profiles.profile import ArmSummary, EnergyModel, Interval


def fit_energy_model(arms: Sequence[ArmSummary]) -> EnergyModel | None:
    """The median power of the arms, since a core at one clock draws much the same in all of them.

    A phone's gauge tells joules to some percent at best, so a term for each kind of work would be
    fitted to its noise. The error says what the one number costs.
    """
    measured = [
        (arm.joules_per_probe.value, arm.seconds_per_probe.value)
        for arm in arms
        if arm.joules_per_probe is not None
    ]
    if not measured:
        return None
    watts = [joules / seconds for joules, seconds in measured]
    errors = [
        abs(median(watts[:held] + watts[held + 1 :]) * seconds / joules - 1)
        for held, (joules, seconds) in enumerate(measured)
    ] if len(watts) > 1 else None  # fmt: skip
    return EnergyModel(
        watts=Interval.of_median(watts),
        median_relative_error=None if errors is None else float(np.median(errors)),
        arms=len(watts),
    )
