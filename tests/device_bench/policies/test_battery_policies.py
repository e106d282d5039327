"""Nearly empty batteries and battery saver."""

from __future__ import annotations

import pytest

from device_bench.policies.battery import BATTERY_LOW, BATTERY_SAVER
from tests.device_bench.policies.made_jobs import around, flagged, job


@pytest.mark.parametrize(("percent", "found"), [(24.9, [0]), (25.0, []), (None, [])])
def test_a_level_below_a_quarter_is_found(percent: float | None, found: list[int]) -> None:
    assert flagged(BATTERY_LOW, [job(conditions=around(battery_percent=percent))]) == found


@pytest.mark.parametrize(("saver", "found"), [(True, [0]), (False, []), (None, [])])
def test_battery_saver_is_found(saver: bool | None, found: list[int]) -> None:
    assert flagged(BATTERY_SAVER, [job(conditions=around(power_saver=saver))]) == found


def test_a_cable_changes_no_time() -> None:
    jobs = [job(conditions=around(plugged=True, battery_percent=80.0)), job(1)]

    assert flagged(BATTERY_LOW, jobs) == flagged(BATTERY_SAVER, jobs) == []
