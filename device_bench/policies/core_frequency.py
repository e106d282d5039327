"""The cores that computed ran slower than in the sweep's best job."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

# A governor's neighbouring steps are a few percent apart.
_LEAST_SHARE = 0.9
_NAME = re.compile(r"(?:policy|cpu)([0-9]{1,4})")


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    on_cpu = [job for job in jobs if job.measurement.on_cpu]
    best: dict[tuple[int, str], float] = defaultdict(float)
    for job in on_cpu:
        for name, hertz in job.frequencies.items():
            best[_key(job, name)] = max(best[_key(job, name)], hertz)
    for job in on_cpu:
        shares = {
            name: job.frequencies[name] / best[_key(job, name)]
            for name in _of_used_cores(job, best)
            if job.frequencies[name] > 0
        }
        slowest = min(shares, key=lambda name: shares[name], default=None)
        if slowest is not None and shares[slowest] < _LEAST_SHARE:
            hertz = job.frequencies[slowest]
            yield Finding(
                job.measurement.position,
                f"{slowest} ran at {hertz / 1e9:.2f} GHz, "
                f"{hertz / shares[slowest] / 1e9:.2f} GHz in the best job",
                1 / shares[slowest],
            )


def _key(job: JobEvidence, name: str) -> tuple[int, str]:
    """The more cores work, the less each may boost."""
    return job.measurement.threads, name


def _of_used_cores(job: JobEvidence, best: Mapping[tuple[int, str], float]) -> Iterable[str]:
    """The cpufreq policies of the cores that computed; of the others no frequency is a fault.

    A policy is named by its first core, and holds the cores up to the next one's. A job with fewer
    threads than cores to choose from is taken to be on the fastest of them.
    """
    by_first = {int(match[1]): name for name in job.frequencies if (match := _NAME.fullmatch(name))}
    mask = job.measurement.cpu_mask
    if mask is None:
        names = set(by_first.values())
        crowded = False
    else:
        cores = [core for core in range(int(mask, 16).bit_length()) if int(mask, 16) >> core & 1]
        firsts = (max((each for each in by_first if each <= core), default=None) for core in cores)
        names = {by_first[first] for first in firsts if first is not None}
        crowded = job.measurement.threads >= len(cores)
    if crowded or not names:
        return names
    return [max(names, key=lambda name: best[_key(job, name)])]


CORE_FREQUENCY = Policy(
    "frequency-fell",
    f"the cores ran below {_LEAST_SHARE:.0%} of the frequency that they had in the sweep's best "
    "job: hot, or held back to save power",
    "let the device cool down, keep its screen on and battery saver off, and pin the job with "
    "--cores",
    _look,
)
