"""Jobs that the gate let through hot."""

from __future__ import annotations

import pytest

from device_bench.conditions.job_conditions import Boundary, JobConditions
from device_bench.policies.cooldown_patience import COOLDOWN_PATIENCE
from tests.device_bench.policies.made_jobs import flagged, job, text_of


def passed(gate: str) -> JobConditions:
    before = Boundary(celsius={"skin": 41.0, "soc": 60.0})
    return JobConditions.model_validate(
        {"before": before, "after": None, "gate": gate, "waited_s": 600.0}
    )


def test_a_job_that_began_hot_is_found() -> None:
    text = text_of(COOLDOWN_PATIENCE, [job(conditions=passed("timed out")), job(1)])

    assert text == "began after 600 s at skin 41.0 °C, soc 60.0 °C"


@pytest.mark.parametrize("gate", ["off", "no temperature", "cool", "cooled down"])
def test_all_others_are_not(gate: str) -> None:
    assert flagged(COOLDOWN_PATIENCE, [job(conditions=passed(gate))]) == []
