"""Cooling devices that rise, beside the sweep's calmest job."""

from __future__ import annotations

from device_bench.policies.cooling_device import COOLING_DEVICE
from tests.device_bench.policies.made_jobs import flagged, job, text_of


def test_a_processor_that_is_held_back_more_than_before_is_found() -> None:
    states = (1.0, 1.0, 4.0)
    jobs = [job(n, cooling={"thermal-cpufreq-0": state}) for n, state in enumerate(states)]

    assert flagged(COOLING_DEVICE, jobs) == [2]
    assert text_of(COOLING_DEVICE, jobs) == "thermal-cpufreq-0 at step 4, 1 at its lowest"


def test_fans_and_chargers_slow_nothing() -> None:
    jobs = [job(n, cooling={"Fan": s, "usbc-port": s, "chg_mdis": s}) for n, s in enumerate((0, 3))]

    assert flagged(COOLING_DEVICE, jobs) == []
