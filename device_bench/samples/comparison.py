"""Two folders of samples compared arm by arm: which is faster, as far as the samples show.

The unit is a job, by the median of its repetitions. Repetitions of one job share a process, its
memory and what else the device does meanwhile, so they resemble each other more than jobs do, and
a test that takes each for an independent sample finds differences where there are none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from android_harness.state.held_settings import SETTINGS_NAME, HeldSettings
from device_bench.errors import ComparisonError
from device_bench.plans.sweep_plan import Arm
from device_bench.samples.measurement import Measurement
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import SAMPLES_NAME, SWEEP_NAME, read_measurements
from device_bench.samples.stop_rule import job_median
from device_bench.statistics import summarise
from exporters.contract import Part

# As google/benchmark's tools/gbench/report.py: a U test of fewer repetitions has little to go by.
MINIMUM_JOBS = 9
SIGNIFICANCE = 0.05
_RESAMPLES = 2000

ArmVerdict = Literal["A faster", "B faster", "no difference shown", "too few jobs"]


class Side(Part):
    """The jobs of an arm in one folder; seconds per probe, medians of a job's repetitions."""

    backend: str
    threads: int
    jobs: int
    median_s: float
    outliers_s: tuple[float, ...]  # jobs with a modified z-score above 3.5; they count like all


class ArmComparison(Part):
    """One arm in both folders.

    Attributes:
        ratio: seconds of B over seconds of A, medians over jobs.
        low, high: its 95 % bootstrap interval; None, like the next two: too few jobs, of which
            an interval would be too narrow.
        p_value: of a two-sided Mann-Whitney U test.
        p_adjusted: the same after Holm's correction over the arms that are judged.
        verdict: one is faster by `p_adjusted` below `SIGNIFICANCE` and an interval without 1.
    """

    arm: Arm
    a: Side
    b: Side
    ratio: float
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    verdict: ArmVerdict

    def slower_than(self, percent: float) -> bool:
        """B is shown to be slower, and its median is by more than so much."""
        return self.verdict == "A faster" and self.ratio > 1 + percent / 100


class SamplesComparison(Part):
    """All common arms of two folders, and what else differs between them.

    `interleaved`: jobs of both took turns on one device, so that both met its slow changes.
    """

    a: str
    b: str
    arms: tuple[ArmComparison, ...]
    only_in_a: tuple[Arm, ...]
    only_in_b: tuple[Arm, ...]
    warnings: tuple[str, ...]
    interleaved: bool

    @property
    def judged(self) -> bool:
        """Every common arm has the jobs that a verdict needs."""
        return all(arm.p_value is not None for arm in self.arms)


def compare_samples(a: Path, b: Path) -> SamplesComparison:
    """Compares two folders that `run_sweep` wrote.

    Where each has one placement, arms are compared whatever these are, with a warning where they
    differ; otherwise only arms of the same threads and CPU mask.

    Raises:
        ComparisonError: a path is not a folder, or the two have no arm in common.
        ContractError: sweep.json or settings.json of a folder is missing or malformed.
        SamplesError: a line of the samples is damaged.
    """
    for folder in (a, b):
        if not folder.is_dir():
            raise ComparisonError(
                "only raw samples can be compared, and this is no folder of them",
                remedy="give the folders that fwdllm bench wrote; a profile keeps no samples",
                file=folder,
            )
    sweeps = (Sweep.read(a / SWEEP_NAME), Sweep.read(b / SWEEP_NAME))
    of_a, of_b = (_by_arm(read_measurements(folder / SAMPLES_NAME)) for folder in (a, b))
    if all(len(_placements(sweep)) == 1 for sweep in sweeps):
        of_b = _placed_as(sweeps[0].plan.arms[0], of_b)
    common = [arm for arm in sweeps[0].plan.arms if arm in of_a and arm in of_b]
    if not common:
        raise ComparisonError(
            f"{a} and {b} have no measured arm in common",
            remedy="bench both with the same batches, tokens, directions, estimators and layers",
        )
    p_values = [_p_value(of_a[arm], of_b[arm]) for arm in common]
    adjusted = holm([p for p in p_values if p is not None])
    judged = iter(adjusted)
    return SamplesComparison(
        a=str(a),
        b=str(b),
        arms=tuple(
            _compared(arm, of_a[arm], of_b[arm], p, None if p is None else next(judged))
            for arm, p in zip(common, p_values, strict=True)
        ),
        only_in_a=tuple(arm for arm in of_a if arm not in of_b),
        only_in_b=tuple(arm for arm in of_b if arm not in of_a),
        warnings=tuple(_differences(sweeps, (_settings(a), _settings(b)))),
        interleaved=sweeps[0].target == sweeps[1].target and _took_turns(of_a, of_b),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979), in the order given.

    Whoever acts on those below α acts on any false one with a probability of at most α.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def ratio_interval(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of median(b) / median(a); seeded.

    Of at least two values each.
    """

    def ratio(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.median(b, axis=axis) / np.median(a, axis=axis))

    interval = stats.bootstrap(
        (a, b),
        ratio,
        n_resamples=_RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _took_turns(
    a: Mapping[Arm, Sequence[Measurement]], b: Mapping[Arm, Sequence[Measurement]]
) -> bool:
    """Whether each began before the other had ended."""
    times = [[job.measured_at for jobs in each.values() for job in jobs] for each in (a, b)]
    return max(map(min, times)) < min(map(max, times))


def _by_arm(measurements: Sequence[Measurement]) -> dict[Arm, list[Measurement]]:
    by_arm: dict[Arm, list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        if measurement.steady_seconds:
            by_arm[measurement.arm].append(measurement)
    return dict(by_arm)


def _placements(sweep: Sweep) -> list[tuple[int, str | None]]:
    """Threads and CPU masks of its arms, in order."""
    return list(dict.fromkeys(arm.placement for arm in sweep.plan.arms))


def _placed_as(model: Arm, by_arm: Mapping[Arm, list[Measurement]]) -> dict[Arm, list[Measurement]]:
    """The same with the placement of `model` in all arms."""
    placement = {"threads": model.threads, "cpu_mask": model.cpu_mask}
    return {arm.model_copy(update=placement): jobs for arm, jobs in by_arm.items()}


def _job_medians(measurements: Sequence[Measurement]) -> NDArray[np.float64]:
    return np.array([job_median(measurement) for measurement in measurements])


def _p_value(a: Sequence[Measurement], b: Sequence[Measurement]) -> float | None:
    if min(len(a), len(b)) < MINIMUM_JOBS:
        return None
    return float(stats.mannwhitneyu(_job_medians(a), _job_medians(b)).pvalue)


def _compared(
    arm: Arm,
    a: Sequence[Measurement],
    b: Sequence[Measurement],
    p_value: float | None,
    p_adjusted: float | None,
) -> ArmComparison:
    of_a, of_b = _job_medians(a), _job_medians(b)
    low = high = None
    verdict: ArmVerdict = "too few jobs"
    if p_adjusted is not None:
        low, high = ratio_interval(of_a, of_b)
        verdict = "no difference shown"
        if p_adjusted < SIGNIFICANCE and not low <= 1 <= high:
            verdict = "A faster" if low > 1 else "B faster"
    return ArmComparison(
        arm=arm,
        a=_side(a, of_a),
        b=_side(b, of_b),
        ratio=float(np.median(of_b) / np.median(of_a)),
        low=low,
        high=high,
        p_value=p_value,
        p_adjusted=p_adjusted,
        verdict=verdict,
    )


def _side(measurements: Sequence[Measurement], seconds: NDArray[np.float64]) -> Side:
    summary = summarise(seconds.tolist())
    return Side(
        backend=measurements[0].backend,
        threads=measurements[0].threads,
        jobs=len(measurements),
        median_s=summary.median,
        outliers_s=tuple(float(seconds[index]) for index in summary.outliers),
    )


def _settings(folder: Path) -> HeldSettings | None:
    path = folder / SETTINGS_NAME
    return HeldSettings.read(path) if path.exists() else None


def _differences(
    sweeps: tuple[Sweep, Sweep], settings: tuple[HeldSettings | None, HeldSettings | None]
) -> list[str]:
    """What differs beside the times, and may be why they do."""
    a, b = sweeps
    found = [
        f"the {word} differ: {left} and {right}"
        for word, left, right in (
            ("targets", a.target, b.target),
            ("devices", a.device.summary, b.device.summary),
            ("Android builds", a.device.build_fingerprint, b.device.build_fingerprint),
            ("bundles", a.bundle_sha256[:12], b.bundle_sha256[:12]),
            ("runners", a.runner_sha256[:12], b.runner_sha256[:12]),
            *_placement_differences(a, b),
            ("shortest repetitions (ms)", a.plan.minimum_ms, b.plan.minimum_ms),
            ("warm-ups", a.plan.warmup, b.plan.warmup),
        )
        if left != right
    ]
    left, right = settings
    if (left is None) != (right is None):
        known = "A" if right is None else "B"
        found.append(f"only {known} says how the device was set ({SETTINGS_NAME})")
    elif left is not None and right is not None:
        during_a, during_b = _during(left), _during(right)
        found += [
            f"the setting {name} differs: {during_a.get(name)} and {during_b.get(name)}"
            for name in dict.fromkeys((*during_a, *during_b))
            if during_a.get(name) != during_b.get(name)
        ]
    return found


def _placement_differences(a: Sweep, b: Sweep) -> Iterator[tuple[str, object, object]]:
    left, right = _placements(a), _placements(b)
    if len(left) == len(right) == 1:
        (threads_a, mask_a), (threads_b, mask_b) = left[0], right[0]
        yield "threads", threads_a, threads_b
        yield "CPU masks", mask_a, mask_b


def _during(settings: HeldSettings) -> Mapping[str, str | None]:
    return {row.setting: row.during for row in settings.settings}
