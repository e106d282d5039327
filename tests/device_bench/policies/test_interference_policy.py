"""CPU time that a job did not get."""

from __future__ import annotations

from device_bench.policies.interference import INTERFERENCE
from tests.device_bench.policies.made_jobs import ARM, flagged, job, text_of

FOUR = ARM.model_copy(update={"threads": 4})


def test_a_job_that_lost_a_part_of_a_core_is_found() -> None:
    jobs = [job(n, arm=FOUR, cores=cores) for n, cores in enumerate((3.9, 3.85, 3.5))]

    assert flagged(INTERFERENCE, jobs) == [2]
    assert text_of(INTERFERENCE, jobs) == "4 threads got 3.50 cores, 3.90 at best"


def test_a_single_thread_is_held_to_a_whole_core() -> None:
    assert flagged(INTERFERENCE, [job(n, cores=0.5) for n in range(3)]) == [0, 1, 2]
    assert flagged(INTERFERENCE, [job(n, cores=0.95) for n in range(3)]) == []


def test_arms_are_compared_with_themselves_alone() -> None:
    waits = FOUR.model_copy(update={"batch": 8})
    jobs = [job(0, arm=FOUR, cores=3.9), job(1, arm=waits, cores=2.0)]

    assert flagged(INTERFERENCE, jobs) == []


def test_a_gpu_needs_no_cores() -> None:
    assert flagged(INTERFERENCE, [job(0, backend="ggml-vulkan", cores=0.1)]) == []
