"""Times alone, where a device tells no more."""

from __future__ import annotations

import numpy as np

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.slowing import SLOWING_OVER_THE_SWEEP, SLOWING_WITHIN_JOBS
from tests.device_bench.policies.made_jobs import ARM, flagged, job

GPU = "ggml-vulkan"
OTHER = ARM.model_copy(update={"tokens": 64})


def noise(seed: int) -> np.ndarray:
    return 1 + np.random.default_rng(seed).normal(0, 0.01, 3)


def sweep(factor_from_10_on: float = 1.0, growth: float = 0.0, **evidence: object) -> list:
    """20 jobs of two arms; repetitions grow within each."""
    return [
        job(
            n,
            (1 + n % 2)
            * noise(n)
            * (1 + growth * np.arange(3))
            * (factor_from_10_on if n >= 10 else 1),
            arm=(ARM, OTHER)[n % 2],
            **{"backend": GPU, **evidence},
        )
        for n in range(20)
    ]


def test_repetitions_that_grow_in_all_jobs_are_found() -> None:
    assert flagged(SLOWING_WITHIN_JOBS, sweep(growth=0.1)) == list(range(20))
    assert flagged(SLOWING_WITHIN_JOBS, sweep(growth=-0.1)) == []
    assert flagged(SLOWING_WITHIN_JOBS, sweep()) == []


def test_a_growth_of_a_few_percent_is_none() -> None:
    assert flagged(SLOWING_WITHIN_JOBS, sweep(growth=0.01)) == []


def test_the_jobs_from_a_slower_pace_on_are_found_whichever_their_arm() -> None:
    jobs = sweep(factor_from_10_on=1.2)

    assert flagged(SLOWING_OVER_THE_SWEEP, jobs) == list(range(10, 20))
    assert flagged(SLOWING_OVER_THE_SWEEP, jobs[::-1]) == list(range(10, 20))
    (text,) = {finding.text for finding in SLOWING_OVER_THE_SWEEP.look(jobs)}
    assert text.endswith("from the sweep's job 10 on")
    assert flagged(SLOWING_OVER_THE_SWEEP, sweep()) == []


def test_where_the_device_tells_its_status_or_its_pace_it_is_asked_instead() -> None:
    told: list[list[JobEvidence]] = [
        sweep(1.5, 0.1, thermal_status=0),
        sweep(1.5, 0.1, backend="ggml-cpu"),
    ]
    for jobs in told:
        assert flagged(SLOWING_WITHIN_JOBS, jobs) == flagged(SLOWING_OVER_THE_SWEEP, jobs) == []
