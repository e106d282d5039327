"""Policies of dividing probes, on fleets that are drawn: modelled seconds of a round."""

from __future__ import annotations

import numpy as np

from experiments.contract import AllocationResult, PolicyResult
from experiments.execute import versions
from toolkit.allocation.compare import Luck, compare
from toolkit.allocation.oort import Oort, OortSettings
from toolkit.allocation.policies import Devices, Policy, careful, fastest, proportional, uniform

PHONES = 100
PROBES = 2_000
SEEDS = (0, 1, 2)


def run_allocation(trials: int) -> AllocationResult:
    """Every policy on the same fleets and the same luck, one fleet per seed."""
    rows = []
    for seed in SEEDS:
        policies: dict[str, Policy] = {
            "uniform": uniform,
            "proportional": proportional,
            "Oort-like": Oort(OortSettings(participants=PHONES // 2), seed=seed),
            "minimum makespan": fastest,
            "minimum makespan, careful": careful(),
        }
        outcomes = compare(
            _fleet(seed), PROBES, policies, trials=trials, seed=seed, luck=Luck(straggling=0.02)
        )
        rows += [
            PolicyResult(
                policy=one.policy,
                seed=seed,
                median_s=_finite(one.median_s),
                p95_s=_finite(one.p95_s),
                complete_share=one.complete_share,
            )
            for one in outcomes
        ]
    return AllocationResult(
        phones=PHONES, probes=PROBES, trials=trials, rows=tuple(rows), versions=versions()
    )


def _fleet(seed: int) -> Devices:
    """Seconds per probe spread by a factor of about 2 around 0.5."""
    generator = np.random.default_rng(seed)
    return Devices.of(
        0.5 * generator.lognormal(0.0, 0.7, PHONES),
        fixed=generator.exponential(0.5, PHONES),
        sigma=0.15,
    )


def _finite(seconds: float) -> float | None:
    return seconds if np.isfinite(seconds) else None
