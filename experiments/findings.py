"""What the comparisons come to, in sentences made of the results alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from experiments.catalogue import EXACT_HEAD, OURS, PUBLISHED, TARGET, TUNED
from experiments.contract import RunResult
from experiments.summary import by_method


def findings(results: Sequence[RunResult]) -> list[str]:
    """Of one group; none where it lacks the methods that are compared."""
    methods = by_method(results)
    return _probes(methods) + _beside_the_exact_head(methods)


def _probes(methods: dict[str, list[RunResult]]) -> list[str]:
    """Probes to the target, ours against each version of the published algorithm."""
    ours = methods.get(OURS, [])
    if not ours:
        return []
    reached = [one for run in ours if (one := _probes_to_target(run)) is not None]
    if len(reached) < len(ours):
        return [f"Of {len(ours)} seeds, {len(reached)} reach {TARGET:g} with {OURS}."]
    said = []
    for name in (PUBLISHED, TUNED):
        runs = methods.get(name, [])
        if not runs:
            continue
        theirs = [_probes_to_target(run) for run in runs]
        never = theirs.count(None)
        # A run that did not get there would have needed more than it had.
        spent = mean(
            sum(one.probes for one in run.rounds) if needed is None else needed
            for run, needed in zip(runs, theirs, strict=True)
        )
        needs = f"at least {spent:,.0f} ({never} of {len(runs)} seeds never did)"
        said.append(
            f"To {TARGET:g}, {OURS} takes {mean(reached):,.0f} probes and {name} "
            f"{needs if never else format(spent, ',.0f')}: {'at most ' * bool(never)}"
            f"{mean(reached) / spent:.2f} of them."
        )
    return said


def _beside_the_exact_head(methods: dict[str, list[RunResult]]) -> list[str]:
    """Final accuracies in points, seed by seed."""
    said = []
    for name, verb in (("head only", "adds to"), ("BP-LoRA and head", "lies beside")):
        pairs = _pairs(methods.get(EXACT_HEAD, []), methods.get(name, []))
        if pairs:
            points = [100 * (mine - other) for mine, other in pairs]
            said.append(
                f"Forward-gradient LoRA {verb} {name}: {mean(points):+.2f} points of accuracy, "
                f"{min(points):+.2f} to {max(points):+.2f} over {len(points)} seeds."
            )
    return said


def _pairs(mine: Sequence[RunResult], others: Sequence[RunResult]) -> list[tuple[float, float]]:
    """Final accuracies of the seeds that both have."""
    by_seed = {one.experiment.problem.seed: one.final_accuracy for one in others}
    return [
        (one.final_accuracy, other)
        for one in mine
        if one.final_accuracy is not None
        and (other := by_seed.get(one.experiment.problem.seed)) is not None
    ]


def _probes_to_target(result: RunResult) -> int | None:
    until = result.reaches(TARGET)
    return None if until is None else sum(one.probes for one in result.rounds[: until + 1])
