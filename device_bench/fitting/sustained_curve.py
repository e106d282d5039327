"""From a long run's repetitions to the sustained factor of a backend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from android_harness.telemetry.summary import summary
from android_harness.telemetry.trace import Trace
from device_bench.policies.change_point import slower_from
from device_bench.policies.trend import pooled_rise
from device_bench.profiles.profile import Interval, Sustained
from device_bench.samples.measurement import Measurement
from device_bench.samples.stop_rule import job_median
from device_bench.samples.sustained import sustained_seconds

# Neighbouring repetitions resemble each other; medians of so many seconds much less.
_CHUNK_S = 10.0
_MOST_RISE = 0.02
_SENSORS_SHOWN = 3


def fit_sustained(run: Measurement, bursts: Sequence[Measurement], trace: Trace) -> Sustained:
    """Summarises a run beside the same arm's jobs in the sweep.

    The burst is that of the arm's row: the median of its jobs. The interval of the factor is that
    of the worst cases of both, so it is rather too wide.
    """
    samples = run.steady
    begin_ns = samples[0].start_ns
    ends_s = np.array([(each.start_ns + each.wall_ns - begin_ns) / 1e9 for each in samples])
    per_probe_s = np.array([sample.seconds_per_probe for sample in samples])
    seconds = sustained_seconds(run)
    burst = Interval.of_median([job_median(job) for job in bursts])
    times_s, medians_s = _chunks(ends_s, per_probe_s)
    slower = slower_from(medians_s)
    last_third = times_s > 2 / 3 * ends_s[-1]
    steady = Interval.of_median(medians_s[last_third].tolist())
    return Sustained(
        batch=run.arm.batch,
        tokens=run.arm.tokens,
        directions_per_pass=run.arm.directions_per_pass,
        estimator=run.arm.estimator,
        layers=run.arm.layers,
        threads=run.threads,
        seconds=seconds,
        burst_seconds_per_probe=burst,
        steady_seconds_per_probe=steady,
        factor=Interval(
            value=steady.value / burst.value,
            low=steady.low / burst.high,
            high=steady.high / burst.low,
        ),
        slowed_after_s=None if slower is None else float(times_s[slower - 1]),
        flattened=_is_flat(times_s[last_third], medians_s[last_third]),
        max_celsius=_hottest(trace, begin_ns, begin_ns + round(seconds * 1e9)),
    )


def _chunks(
    ends_s: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(end, median) of each stretch of `_CHUNK_S`; a longer repetition is one of its own."""
    numbers = np.ceil(ends_s / _CHUNK_S)
    stretches = [numbers == number for number in np.unique(numbers)]
    return (
        np.array([ends_s[each][-1] for each in stretches]),
        np.array([np.median(seconds[each]) for each in stretches]),
    )


def _is_flat(times_s: NDArray[np.float64], seconds: NDArray[np.float64]) -> bool:
    span = (times_s - times_s[0]) / max(float(np.ptp(times_s)), 1.0)
    rise = pooled_rise([(span, seconds / np.median(seconds))])
    return rise is None or rise.low <= 0 or rise.value <= _MOST_RISE


def _hottest(trace: Trace, start_ns: int, end_ns: int) -> dict[str, float]:
    if not trace.one_boot:
        return {}
    celsius = summary(trace, start_ns, end_ns).max_celsius
    return dict(sorted(celsius.items(), key=lambda each: -each[1])[:_SENSORS_SHOWN])
