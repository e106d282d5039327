"""The fixed loop around a job, beside the sweep's best."""

from __future__ import annotations

from device_bench.policies.pace import PACE
from tests.device_bench.policies.made_jobs import ARM, flagged, job, text_of


def test_a_slow_loop_before_or_after_a_job_is_found() -> None:
    paces = ((1000, 1000), (1099, 1000), (1000, 1200), (1500, 1000))
    jobs = [job(number, pace_ns=pace) for number, pace in enumerate(paces)]

    assert flagged(PACE, jobs) == [2, 3]
    assert text_of(PACE, jobs[:3]) == "a fixed loop took 1.20 times as long as at best"


def test_cores_are_compared_with_themselves() -> None:
    little = ARM.model_copy(update={"cpu_mask": "0x0f"})
    jobs = [job(0, pace_ns=(1000, 1000)), job(1, arm=little, pace_ns=(3000, 3100))]

    assert flagged(PACE, jobs) == []


def test_a_gpu_is_not_judged_by_the_cores() -> None:
    jobs = [job(n, backend="ggml-vulkan", pace_ns=(p, p)) for n, p in enumerate((1000, 2000))]

    assert flagged(PACE, jobs) == []
