"""Any status above none counts; no status is no fault."""

from __future__ import annotations

from device_bench.policies.thermal_status import THERMAL_STATUS
from tests.device_bench.policies.made_jobs import flagged, job, text_of


def test_even_light_throttling_counts() -> None:
    jobs = [job(number, thermal_status=status) for number, status in enumerate((0, 1, 6, None))]

    assert flagged(THERMAL_STATUS, jobs) == [1, 2]
    assert text_of(THERMAL_STATUS, jobs[:2]) == "thermal status 1 (light)"
