"""Each rule is reached by its own fault and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from device_bench.fitting.verdict import RULES, Evidence, judge
from device_bench.numerics.contract import EstimatorNumerics, Numerics
from device_bench.policies.row_findings import POLICIES
from device_bench.profiles.profile import ArmSummary, Interval, Sustained

ARM = ArmSummary(
    batch=1,
    tokens=32,
    directions_per_pass=1,
    estimator="central",
    threads=4,
    repetitions=9,
    jobs=9,
    seconds_per_probe=Interval(value=1.0, low=0.9, high=1.1),
    relative_spread=0.02,
    peak_memory_bytes=1000,
    provenance="measured",
)


def numerics(*, as_exported: bool = True, usable: bool = True) -> Numerics:
    return Numerics(
        failure=None,
        loss=6.0,
        loss_difference=0.0,
        loss_tolerance=0.06,
        loss_as_exported=as_exported,
        loss_repeatability=0.0,
        estimators=(
            EstimatorNumerics(
                estimator="central",
                epsilon=0.01,
                directions=8,
                signal=1.0,
                noise=0.5 if usable else 2.0,
                noise_from="exact slopes",
                repeat_noise=0.0,
                signal_to_noise=2.0 if usable else 0.5,
                usable=usable,
            ),
        ),
    )


SOUND = Evidence(
    arms=[ARM],
    jobs_planned=3,
    jobs_measured=3,
    cost_error=0.05,
    cost_determined=True,
    age=timedelta(hours=1),
    cores=4,
    imprecise_arms=0,
    unsettled_share=0.4,
    numerics=numerics(),
)


LONG_RUN = Sustained(
    batch=1,
    tokens=32,
    directions_per_pass=1,
    estimator="central",
    layers=None,
    threads=4,
    seconds=600.0,
    burst_seconds_per_probe=Interval(value=1.0, low=0.9, high=1.1),
    steady_seconds_per_probe=Interval(value=1.2, low=1.1, high=1.3),
    factor=Interval(value=1.2, low=1.0, high=1.4),
    slowed_after_s=200.0,
    flattened=True,
    max_celsius={},
)


def with_arm(**changes: object) -> Evidence:
    return replace(SOUND, arms=[ARM, ARM.model_copy(update=changes)])


FAULTS = {
    "loss-not-as-exported": replace(SOUND, numerics=numerics(as_exported=False)),
    "slopes-are-noise": replace(SOUND, numerics=numerics(usable=False)),
    "incomplete-sweep": replace(SOUND, jobs_measured=2),
    "too-few-jobs": with_arm(jobs=5),
    "warm-up-not-settled": replace(SOUND, unsettled_share=0.5),
    "precision-not-reached": replace(SOUND, imprecise_arms=1),
    "spread-above-10-percent": with_arm(relative_spread=0.11),
    "spread-above-50-percent": with_arm(relative_spread=0.51),
    "cost-terms-undetermined": replace(SOUND, cost_determined=False, cost_error=None),
    "cost-model-error-above-20-percent": replace(SOUND, cost_error=0.21),
    "cost-model-error-above-50-percent": replace(SOUND, cost_error=0.51),
    "samples-older-than-7-days": replace(SOUND, age=timedelta(days=8)),
    "more-threads-than-cores": replace(SOUND, cores=2),
    "sustained-run-too-short": replace(
        SOUND, sustained=LONG_RUN.model_copy(update={"seconds": 599.0})
    ),
    "sustained-still-slowing": replace(
        SOUND, sustained=LONG_RUN.model_copy(update={"flattened": False})
    ),
    "sustained-faster-than-burst": replace(
        SOUND,
        sustained=LONG_RUN.model_copy(update={"factor": Interval(value=0.7, low=0.6, high=0.8)}),
    ),
    **{policy.reason: with_arm(reasons=(policy.reason,)) for policy in POLICIES},
}
IMPLIED = {
    "spread-above-50-percent": {"spread-above-10-percent"},
    "cost-model-error-above-50-percent": {"cost-model-error-above-20-percent"},
}
INVALID = {
    "loss-not-as-exported",
    "slopes-are-noise",
    "spread-above-50-percent",
    "cost-model-error-above-50-percent",
}


def test_sound_evidence_is_valid() -> None:
    assert judge(SOUND) == ("valid", ())


def test_what_is_unknown_is_no_fault() -> None:
    assert judge(replace(SOUND, cores=None, numerics=None)) == ("valid", ())


def test_a_long_run_that_flattened_is_valid() -> None:
    assert judge(replace(SOUND, sustained=LONG_RUN)) == ("valid", ())


def test_every_rule_has_a_fault_here() -> None:
    assert {rule.reason for rule in RULES} == set(FAULTS)


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_gives_its_reason(reason: str) -> None:
    verdict, reasons = judge(FAULTS[reason])

    assert set(reasons) == {reason} | IMPLIED.get(reason, set())
    assert verdict == ("invalid" if reason in INVALID else "suspect")


def test_the_worst_verdict_wins() -> None:
    evidence = replace(with_arm(relative_spread=0.9), jobs_measured=1)

    verdict, reasons = judge(evidence)

    assert verdict == "invalid"
    assert reasons[0] == "incomplete-sweep"
    assert "spread-above-50-percent" in reasons
