"""When an arm of a sweep has been measured often enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from device_bench.plans.sweep_plan import SweepPlan
from device_bench.samples.measurement import Measurement
from device_bench.statistics import median_interval


@dataclass(frozen=True)
class StopRule:
    """An arm is done when the median of its jobs is known to within `precision`.

    The unit is a job, by the median of its repetitions: repetitions of one process resemble each
    other, and counting them as independent makes intervals too narrow (`comparison.py`). The
    interval is that of `statistics.median_interval`, below six jobs their whole range.

    Looking after every block and stopping at a narrow interval favours intervals that are narrow
    by chance, so the interval of an arm that stopped early holds the true median somewhat less
    often than 95 % of the time; `bench/stop_rule.py` says how often.

    Attributes:
        blocks: jobs that an arm has at least.
        most_blocks: jobs after which it is done whatever its interval.
        precision: half the width of the interval over the median; None: only `most_blocks` counts.
    """

    blocks: int
    most_blocks: int
    precision: float | None

    @classmethod
    def of(cls, plan: SweepPlan) -> StopRule:
        return cls(plan.blocks, plan.most_blocks, plan.precision)

    def done(self, medians: Sequence[float]) -> bool:
        """Whether an arm whose jobs have these medians needs no further one."""
        if len(medians) >= self.most_blocks:
            return True
        return len(medians) >= self.blocks and self._precise(medians)

    def missed(self, medians: Sequence[float]) -> bool:
        """Whether it is done without being as precise as was asked for."""
        return (
            self.precision is not None
            and len(medians) >= self.most_blocks
            and not self._precise(medians)
        )

    def _precise(self, medians: Sequence[float]) -> bool:
        return self.precision is not None and relative_half_width(medians) <= self.precision


def relative_half_width(medians: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the median over the median, of one value or more."""
    data = np.asarray(medians, dtype=np.float64)
    low, high = median_interval(data)
    return (high - low) / 2 / float(np.median(data))


def job_median(measurement: Measurement) -> float:
    """Seconds per probe of a job: the median of its steady repetitions."""
    return float(np.median(measurement.steady_seconds))
