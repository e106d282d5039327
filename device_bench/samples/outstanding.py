"""Which jobs of a sweep are still to be measured, as far as its samples tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from device_bench.plans.sweep_plan import Arm, Slot, SweepPlan
from device_bench.samples.measurement import Measurement
from device_bench.samples.stop_rule import StopRule, job_median


def due_in(
    block: int, plan: SweepPlan, order: Sequence[Slot], measurements: Sequence[Measurement]
) -> list[Slot]:
    """The jobs of a block, in order, without those of arms that were done before it.

    Looks at the samples of earlier blocks alone, so that a sweep which was interrupted within the
    block has the same jobs in it.
    """
    rule = StopRule.of(plan)
    medians = _medians([each for each in measurements if each.slot.block < block])
    return [
        slot
        for slot in order
        if slot.block == block and not rule.done(medians[plan.arms[slot.arm]])
    ]


def jobs_left(plan: SweepPlan, measurements: Sequence[Measurement]) -> dict[Arm, tuple[int, int]]:
    """For each arm that is not done, how many further jobs it has at least and at most."""
    rule, medians = StopRule.of(plan), _medians(measurements)
    counts = {arm: len(medians[arm]) for arm in plan.arms if not rule.done(medians[arm])}
    return {
        arm: (max(plan.blocks - done, 1), plan.most_blocks - done) for arm, done in counts.items()
    }


def least_left(plan: SweepPlan, measurements: Sequence[Measurement]) -> int:
    """How many jobs the sweep still has at least; 0: it is done."""
    return sum(fewest for fewest, _ in jobs_left(plan, measurements).values())


def _medians(measurements: Sequence[Measurement]) -> dict[Arm, list[float]]:
    medians: dict[Arm, list[float]] = defaultdict(list)
    for measurement in measurements:
        medians[measurement.arm].append(job_median(measurement))
    return medians
