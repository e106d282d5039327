"""What the comparisons come to, in sentences made of the results alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from experiments.catalogue import EXACT_HEAD, MATCHED, OURS, PUBLISHED, TARGET
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
    if any(one.reaches(TARGET) is None for one in ours):
        counts = (_count(methods, name) for name in (OURS, PUBLISHED, MATCHED))
        return [f"{TARGET:g} is reached by {', '.join(filter(None, counts))}."]
    our_probes, our_examples = _spent(ours)
    said = []
    for name in (PUBLISHED, MATCHED):
        runs = methods.get(name, [])
        if not runs:
            continue
        never = sum(one.reaches(TARGET) is None for one in runs)
        probes, examples = _spent(runs)
        at_least = f" at least ({never} of {len(runs)} seeds never got there)" if never else ""
        said.append(
            f"To {TARGET:g}, {OURS} takes {our_probes:,.0f} probes ({our_examples:,.0f} example "
            f"passes), {name}{at_least} {probes:,.0f} ({examples:,.0f}): "
            f"{'at most ' * bool(never)}{our_probes / probes:.2f} of the probes, "
            f"{our_examples / examples:.2f} of the example passes."
        )
    return said


def _count(methods: dict[str, list[RunResult]], name: str) -> str:
    runs = methods.get(name, [])
    reached = sum(one.reaches(TARGET) is not None for one in runs)
    return f"{reached} of {len(runs)} seeds of {name}" if runs else ""


def _spent(runs: Sequence[RunResult]) -> tuple[float, float]:
    """Mean probes and example passes to the target.

    A run that did not get there counts with all that it had: it would have needed more.
    """
    done = [one.rounds[: (one.reaches(TARGET) or one.rounds[-1].round) + 1] for one in runs]
    return (
        mean(sum(one.probes for one in rounds) for rounds in done),
        mean(sum(one.examples for one in rounds) for rounds in done),
    )


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
