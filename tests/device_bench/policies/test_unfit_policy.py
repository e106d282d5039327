"""The findings of `fwdllm devices` around a job."""

from __future__ import annotations

from device_bench.conditions.job_conditions import Boundary
from device_bench.policies.unfit import UNFIT
from tests.device_bench.policies.made_jobs import around, flagged, job, text_of


def test_states_that_shift_times_are_found_by_their_codes() -> None:
    warm = around(unfit={"WARM": "time and energy", "PLUGGED": "energy"})

    assert text_of(UNFIT, [job(conditions=warm), job(1)]) == "WARM"


def test_what_shifts_energy_alone_and_what_has_a_policy_of_its_own_is_not() -> None:
    codes = ("LOW-BATTERY", "POWER-SAVER", "THROTTLING")
    other = around(unfit={"PLUGGED": "energy"} | dict.fromkeys(codes, "time and energy"))

    assert flagged(UNFIT, [job(conditions=other)]) == []


def test_a_job_may_warm_the_device_up() -> None:
    warm = Boundary(unfit={"WARM": "time and energy"})
    conditions = around().model_copy(update={"after": warm})

    assert flagged(UNFIT, [job(conditions=conditions)]) == []
