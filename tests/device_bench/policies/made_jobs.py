"""Jobs with made-up evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from device_bench.conditions.job_conditions import Boundary, JobConditions
from device_bench.plans.sweep_plan import Arm
from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Policy
from device_bench.samples.measurement import Sample
from tests.device_bench.made_samples import made_measurement

ARM = Arm(batch=1, tokens=32, directions_per_pass=1, estimator="tangent", threads=1)


def job(
    position: int = 0,
    seconds: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    arm: Arm = ARM,
    backend: str = "ggml-cpu",
    cores: float | None = None,
    seen_mask: str | None = None,
    pace_ns: tuple[int, int] = (1000, 1000),
    conditions: JobConditions | None = None,
    thermal_status: int | None = None,
    frequencies: Mapping[str, float] | None = None,
    cooling: Mapping[str, float] | None = None,
) -> JobEvidence:
    """A job whose repetitions take these seconds; `cores`: CPU seconds per second."""
    share = float(arm.threads) if cores is None else cores
    samples = [
        Sample(
            phase="steady",
            repetition=number,
            directions=1,
            passes=1,
            start_ns=number * 10**9,
            wall_ns=round(value * 1e9),
            cpu_ns=round(value * share * 1e9),
        )
        for number, value in enumerate(seconds)
    ]
    measurement = made_measurement(
        arm,
        samples,
        position=position,
        backend=backend,
        cpu_mask=seen_mask or arm.cpu_mask,
        pace_before_ns=pace_ns[0],
        pace_after_ns=pace_ns[1],
        conditions=conditions,
    )
    return JobEvidence(
        measurement=measurement,
        times_ns=np.arange(len(seconds)) * 1e9,
        seconds=np.array(seconds),
        thermal_status=thermal_status,
        frequencies=frequencies or {},
        cooling=cooling or {},
    )


def around(**boundary: Any) -> JobConditions:
    """Conditions that were the same before and after a job."""
    both = Boundary(**boundary)
    return JobConditions(before=both, after=both, gate="cool", waited_s=0)


def flagged(policy: Policy, jobs: Sequence[JobEvidence]) -> list[int]:
    """The positions of the jobs of which the policy finds something."""
    return [finding.position for finding in policy.look(jobs)]


def text_of(policy: Policy, jobs: Sequence[JobEvidence]) -> str:
    """What it says of the one job of which it finds something."""
    (finding,) = policy.look(jobs)
    return finding.text
