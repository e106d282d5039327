"""The stop rule on simulated devices: how often its interval holds the truth, and what it saves.

    python bench/stop_rule.py [--arms 4000] [--json]

Simulated, seeded. The seconds of a job are the arm's true median times what the job has in common
(log-normal, `spread`), and where the device is noisy, jobs that something interrupted are slower by
an exponentially distributed share. The rule sees what it would see in a sweep: the medians of jobs.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from device_bench.samples.stop_rule import StopRule
from device_bench.statistics import median_interval

SEED = 0
# Assumed: spread of jobs, share of them that something interrupts, by how much these are slower.
DEVICES = {"quiet": (0.01, 0.0, 0.0), "usual": (0.03, 0.1, 0.2), "noisy": (0.08, 0.2, 0.5)}
RULES = (
    StopRule(12, 12, None),
    StopRule(3, 12, 0.05),
    StopRule(6, 12, 0.02),
    StopRule(6, 12, 0.05),
    StopRule(6, 12, 0.1),
    StopRule(6, 24, 0.05),
)


def jobs_of(
    generator: np.random.Generator, arms: int, jobs: int, device: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Seconds [arms, jobs]."""
    spread, share_interrupted, slower_by = device
    seconds = np.exp(spread * generator.standard_normal((arms, jobs)))
    interrupted = generator.random((arms, jobs)) < share_interrupted
    return np.asarray(seconds * (1 + interrupted * generator.exponential(slower_by, (arms, jobs))))


def trial(rule: StopRule, seconds: NDArray[np.float64], truth: float) -> dict[str, float]:
    """What the rule does with these arms: jobs, intervals that hold the truth, arms it gives up."""
    used, held, missed, error = 0, 0, 0, []
    for arm in seconds:
        jobs = next(n for n in range(1, len(arm) + 1) if rule.done(arm[:n].tolist()))
        medians = arm[:jobs]
        low, high = median_interval(medians)
        used += jobs
        held += low <= truth <= high
        missed += rule.missed(medians.tolist())
        error.append(abs(float(np.median(medians)) / truth - 1))
    return {
        "jobs_per_arm": used / len(seconds),
        "coverage": held / len(seconds),
        "not_reached": missed / len(seconds),
        "median_error": float(np.median(error)),
        "error_above_precision": float(np.mean(np.array(error) > (rule.precision or np.inf))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", type=int, default=4000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name, device in DEVICES.items():
        generator = np.random.default_rng(SEED)
        truth = float(np.median(jobs_of(generator, 1, 2_000_000, device)))
        for rule in RULES:
            seconds = jobs_of(
                np.random.default_rng(SEED + 1), options.arms, rule.most_blocks, device
            )
            rows.append({"device": name, **vars(rule), **trial(rule, seconds, truth)})
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(
        "device", "blocks", "\u00b1", "jobs", "holds", "missed", "off", "far off",
        title=f"Simulated, {options.arms} arms a row: blocks, precision, jobs an arm; intervals "
        "that hold the true median; arms that are not as precise as asked; how far medians are "
        "off, and how many by more than the precision.",
        title_justify="left",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["device"],
            f"{row['blocks']} to {row['most_blocks']}",
            "none" if row["precision"] is None else f"{row['precision']:.0%}",
            f"{row['jobs_per_arm']:.1f}",
            f"{row['coverage']:.1%}",
            f"{row['not_reached']:.1%}",
            f"{row['median_error']:.2%}",
            f"{row['error_above_precision']:.1%}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
