"""False positives and false negatives of the policies on made-up sweeps of many seeds.

Each job of a sweep (`policy_traces.py`) is judged by the code that judges real samples. A job is
`disturbed` when a fault made it 15 % slower or more, and calm below 2 %; those between count for
neither. `missed` are disturbed jobs that no policy of the fault's kind flagged, `false` calm jobs
that one flagged. A row ought to be suspect when more than a third of its jobs are disturbed, and
ought not when none is; what lies between counts for neither.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from policy_traces import Fault, MadeSweep, make_sweep, sweep_seconds
from rich.console import Console
from rich.table import Table

from device_bench.policies.evidence import job_evidence
from device_bench.policies.row_findings import POLICIES, reasons_of, row_findings
from device_bench.statistics import summarise

DISTURBED, CALM = 1.15, 1.02
THROTTLING = frozenset(
    [
        "thermal-status-raised",
        "frequency-fell",
        "cooling-rose",
        "pace-fell",
        "slowing-within-jobs",
        "slowing-over-the-sweep",
    ]
)
SHARING = frozenset(["cores-were-shared"])
WIDE = 0.1  # the verdict's spread-above-10-percent

Maker = Callable[[np.random.Generator], Fault]


def _step(generator: np.random.Generator, noise: float, sensors: bool) -> Fault:
    at_s = generator.uniform(0.2, 0.7) * sweep_seconds()
    size = generator.uniform(1.1, 1.6)
    return Fault(noise, slower=lambda now_s: size if now_s > at_s else 1.0, sensors=sensors)


def _ramp(generator: np.random.Generator, noise: float, sensors: bool) -> Fault:
    begin_s = generator.uniform(0, 0.5) * sweep_seconds()
    size, rest_s = generator.uniform(0.1, 0.6), sweep_seconds() - begin_s
    return Fault(
        noise,
        slower=lambda now_s: 1 + size * min(max(now_s - begin_s, 0) / rest_s, 1),
        sensors=sensors,
    )


def _bursts(generator: np.random.Generator) -> Fault:
    begins_s = generator.uniform(0, sweep_seconds(), 3)
    lasts_s, size = generator.uniform(5, 30, 3), generator.uniform(1.2, 2.0)

    def taken(now_s: float) -> float:
        return float(size) if np.any((begins_s <= now_s) & (now_s < begins_s + lasts_s)) else 1.0

    return Fault(_little(generator), taken=taken)


def _little(generator: np.random.Generator) -> float:
    return float(generator.uniform(0.01, 0.05))


KINDS: dict[str, Maker] = {
    "clean": lambda g: Fault(_little(g)),
    "clean, no sensors": lambda g: Fault(_little(g), sensors=False),
    "noisy": lambda g: Fault(float(g.uniform(0.15, 0.4))),
    "noisy, no sensors": lambda g: Fault(float(g.uniform(0.15, 0.4)), sensors=False),
    "spikes": lambda g: Fault(_little(g), spikes=int(g.integers(1, 4))),
    "throttling in a step": lambda g: _step(g, _little(g), sensors=True),
    "throttling in a ramp": lambda g: _ramp(g, _little(g), sensors=True),
    "step, no sensors": lambda g: _step(g, _little(g), sensors=False),
    "ramp, no sensors": lambda g: _ramp(g, _little(g), sensors=False),
    "within jobs, no sensors": lambda g: Fault(
        _little(g), within=float(g.uniform(0.1, 0.6)), sensors=False
    ),
    "interference in bursts": _bursts,
}


def count(kind: str, seeds: int) -> dict[str, Any]:
    """What the policies made of as many sweeps of a kind."""
    jobs: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for seed in range(seeds):
        generator = np.random.default_rng([seed, list(KINDS).index(kind)])
        made = make_sweep(KINDS[kind](generator), generator)
        evidence = job_evidence(made.measurements, made.trace)
        flagged: dict[int, set[str]] = {position: set() for position in made.slowed}
        for policy in POLICIES:
            for finding in policy.look(evidence):
                flagged[finding.position].add(policy.reason)
        for position, reasons in flagged.items():
            right, wrong = _sides(made, position)
            caught.update(reasons & right)
            false.update(reasons & wrong)
            jobs["disturbed"] += bool(right)
            jobs["missed"] += bool(right) and not reasons & right
            jobs["calm"] += wrong == THROTTLING | SHARING
            jobs["false"] += wrong == THROTTLING | SHARING and bool(reasons & wrong)
        for arm, findings in row_findings(evidence).items():
            _count_row(rows, made, arm, set(reasons_of(findings)))
    return {
        "kind": kind,
        "sweeps": seeds,
        "jobs": {name: jobs[name] for name in ("disturbed", "missed", "calm", "false")},
        "rows": {name: rows[name] for name in ("faulty", "missed", "sound", "false", "wide")},
        "disturbed_jobs_flagged_by": dict(caught),
        "undisturbed_jobs_flagged_by": dict(false),
    }


def _sides(made: MadeSweep, position: int) -> tuple[frozenset[str], frozenset[str]]:
    """The reasons of which a job ought to have one at least, and those it ought not to have."""
    right: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()
    for factor, reasons in ((made.slowed[position], THROTTLING), (made.shared[position], SHARING)):
        if factor >= DISTURBED:
            right |= reasons
        elif factor <= CALM:
            wrong |= reasons
    return right, wrong


def _count_row(rows: Counter[str], made: MadeSweep, arm: object, reasons: set[str]) -> None:
    of_arm = [each for each in made.measurements if each.arm == arm]
    seconds = [value for each in of_arm for value in each.steady_seconds]
    rows["wide"] += summarise(seconds).relative_spread > WIDE
    worst = [max(made.slowed[each.position], made.shared[each.position]) for each in of_arm]
    disturbed = sum(factor >= DISTURBED for factor in worst)
    if 3 * disturbed > len(of_arm):
        rows["faulty"] += 1
        rows["missed"] += not reasons
    elif max(worst) <= CALM:
        rows["sound"] += 1
        rows["false"] += bool(reasons)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="sweeps of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("at least one seed is needed")
    counts = [count(kind, options.seeds) for kind in KINDS]
    if options.json:
        print(json.dumps({"sweeps_of_a_kind": options.seeds, "kinds": counts}))
        return
    table = Table("sweeps", "jobs\ndisturbed", "missed", "jobs\ncalm", "flagged", "rows\nfaulty")
    for heading in ("missed", "rows\nsound", "flagged", "spread\nabove 10 %"):
        table.add_column(heading)
    for each in counts:
        jobs, rows = each["jobs"], each["rows"]
        table.add_row(each["kind"], *(str(value) for value in [*jobs.values(), *rows.values()]))
    by_policy = Table("sweeps", "policy", "flagged of the\ndisturbed jobs", "flagged\nfalsely")
    for each in counts:
        caught, false = each["disturbed_jobs_flagged_by"], each["undisturbed_jobs_flagged_by"]
        for reason in sorted(caught.keys() | false.keys()):
            of = f"{caught.get(reason, 0)} of {each['jobs']['disturbed']}"
            by_policy.add_row(each["kind"], reason, of, str(false.get(reason, 0)))
    console = Console(width=120)
    console.print(table)
    console.print(by_policy)


if __name__ == "__main__":
    main()
