"""Frequencies of the cores that computed, beside those of the best job."""

from __future__ import annotations

from device_bench.policies.core_frequency import CORE_FREQUENCY
from tests.device_bench.policies.made_jobs import ARM, flagged, job, text_of

ON_BIG = ARM.model_copy(update={"cpu_mask": "0xf0", "threads": 4})


def test_a_job_below_nine_tenths_of_the_best_is_found() -> None:
    hertz = (2.4e9, 2.2e9, 2.0e9)
    jobs = [job(n, arm=ON_BIG, frequencies={"policy4": f}) for n, f in enumerate(hertz)]

    assert flagged(CORE_FREQUENCY, jobs) == [2]
    assert text_of(CORE_FREQUENCY, jobs) == "policy4 ran at 2.00 GHz, 2.40 GHz in the best job"


def test_cores_outside_the_mask_may_idle() -> None:
    jobs = [
        job(0, arm=ON_BIG, frequencies={"policy0": 1.8e9, "policy4": 2.4e9}),
        job(1, arm=ON_BIG, frequencies={"policy0": 0.3e9, "policy4": 2.4e9}),
    ]

    assert flagged(CORE_FREQUENCY, jobs) == []


def test_each_cluster_of_a_mask_that_the_threads_fill_counts() -> None:
    everywhere = ARM.model_copy(update={"cpu_mask": "0xff", "threads": 8})
    jobs = [
        job(0, arm=everywhere, frequencies={"policy0": 1.8e9, "policy4": 2.4e9}),
        job(1, arm=everywhere, frequencies={"policy0": 1.2e9, "policy4": 2.4e9}),
    ]

    assert flagged(CORE_FREQUENCY, jobs) == [1]


def test_fewer_threads_than_cores_are_taken_to_be_on_the_fastest() -> None:
    for mask in ("0xff", None):
        arm = ARM.model_copy(update={"cpu_mask": mask})
        jobs = [
            job(0, arm=arm, frequencies={"policy0": 1.8e9, "policy4": 2.4e9}),
            job(1, arm=arm, frequencies={"policy0": 0.3e9, "policy4": 2.4e9}),
            job(2, arm=arm, frequencies={"policy0": 1.8e9, "policy4": 1.6e9}),
        ]

        assert flagged(CORE_FREQUENCY, jobs) == [2]


def test_jobs_of_more_threads_are_not_held_to_the_boost_of_one() -> None:
    jobs = [
        job(0, arm=ON_BIG.model_copy(update={"threads": 1}), frequencies={"policy4": 3.0e9}),
        job(1, arm=ON_BIG, frequencies={"policy4": 2.4e9}),
    ]

    assert flagged(CORE_FREQUENCY, jobs) == []


def test_what_a_gpu_computes_does_not_depend_on_cores() -> None:
    jobs = [
        job(n, backend="ggml-vulkan", frequencies={"cpu0": f}) for n, f in enumerate((2e9, 1e9))
    ]

    assert flagged(CORE_FREQUENCY, jobs) == []


def test_names_that_are_no_policies_and_silence_are_no_fault() -> None:
    jobs = [job(0, frequencies={"policy#2": 2e9}), job(1, frequencies={"policy#2": 1e9}), job(2)]

    assert flagged(CORE_FREQUENCY, jobs) == []
