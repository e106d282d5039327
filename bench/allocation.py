"""Seconds to divide a round's probes over many devices, and how far that is from its bounds.

Log-normal seconds per probe, exponential fixed seconds, a cap per device; seeded. `gap` compares
the makespan with the fractional lower bound, which splits probes at will: whole probes alone cost
about 1 / (2 q) at q probes per device, so a gap below 0.1 % needs about 500 of them on average.
`integer_gap` compares with the best division into whole probes: 0 once it is proven that nothing
is faster (all devices together finish too few probes strictly before the makespan).
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from toolkit.allocation.makespan import divide, fractional_lower_bound, nothing_faster
from toolkit.allocation.options import Options


def fleet(devices: int, probes: int, seed: int) -> Options:
    """Random devices whose caps leave room for four times the probes."""
    generator = np.random.default_rng(seed)
    seconds = generator.lognormal(0.0, 1.0, devices)
    fixed = generator.exponential(1.0, devices)
    fair = probes / devices
    caps = np.ceil(fair * generator.uniform(2.0, 8.0, devices)).astype(np.int64)
    return Options.one_each(seconds, fixed, caps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int, help="1000 for each device when absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=3, help="the median counts")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if min(options.devices, options.repetitions) < 1 or (options.probes or 1) < 1:
        parser.error("devices, probes and repetitions are at least 1")
    probes = options.probes or 1000 * options.devices
    made = fleet(options.devices, probes, options.seed)
    seconds = []
    for _ in range(options.repetitions):
        started = time.perf_counter()
        division = divide(made, probes)
        seconds.append(time.perf_counter() - started)
    makespan = division.makespan(made)
    bound = fractional_lower_bound(made, probes)
    row = {
        "devices": options.devices,
        "probes": int(division.counts.sum()),
        "seconds": float(np.median(seconds)),
        "gap": (makespan - bound) / bound,
        "makespan": makespan,
        "lower_bound": bound,
        "integer_gap": 0.0 if nothing_faster(made, probes, makespan) else None,
    }
    print(json.dumps(row) if options.json else "\n".join(f"{k:>12} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
