"""Rows of a convergence table from the folders of runs, with and without backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.backprop.baseline import BASELINE_FILE, BaselineRun
from toolkit.backprop.contract import BackpropRound
from toolkit.errors import TrainingError
from toolkit.plan.convergence import ConvergenceRow
from toolkit.training.contract import RoundRecord
from toolkit.training.run_folder import RunFolder


def row_of(path: Path, method: str, target: float, tokens: float | None) -> ConvergenceRow:
    """What a run spent until an evaluation first reached the target, or in all.

    Args:
        path: a folder of `fwdllm train`, of a baseline or not.
        target: the accuracy to reach.
        tokens: the mean length of an example, which runs over devices do not note; a baseline's
            own is taken where it is None.

    Raises:
        TrainingError: the folder holds no finished round, no accuracy, or lacks the tokens.
        ContractError: a file in it is malformed.
    """
    if (path / BASELINE_FILE).exists():
        return _baseline(BaselineRun.read(path / BASELINE_FILE), path, method, target)
    if tokens is None:
        raise TrainingError(
            "how long its examples are is not known",
            remedy="give --tokens, or a baseline over the same data",
            file=path,
        )
    return _run(RunFolder(path), method, target, tokens)


def _run(folder: RunFolder, method: str, target: float, tokens: float) -> ConvergenceRow:
    description = folder.description()
    config = description.config
    rounds = folder.rounds()
    reached, until = _until(rounds, target, folder.path)
    done = rounds[: until + 1]
    probes = sum(one.probes for one in done)
    shares = {share.probes for share in description.shares}
    # Under the other estimators the base pass gives the head's gradient too.
    plain = config.head is not None and config.estimator == "central"
    return ConvergenceRow(
        method=method,
        target_accuracy=target,
        reached=reached,
        seed=config.seed,
        rounds=until,
        clients=max(len({m.client for m in one.measurements}) for one in done),
        batch=config.batch,
        tokens=tokens,
        estimator=config.estimator,
        probes=probes,
        forward_passes=sum(len(one.measurements) for one in done) if plain else 0,
        bytes_down=sum(one.bytes_down for one in done),
        bytes_up=sum(one.bytes_up for one in done),
        division="uniform" if max(shares) - min(shares) <= 1 else "makespan",
        directions_per_pass=max(share.directions_per_pass for share in description.shares),
    )


def _baseline(run: BaselineRun, path: Path, method: str, target: float) -> ConvergenceRow:
    reached, until = _until(run.rounds, target, path)
    done = run.rounds[: until + 1]
    steps = sum(one.backward_passes for one in done)
    return ConvergenceRow(
        method=method,
        target_accuracy=target,
        reached=reached,
        seed=run.config.seed,
        rounds=until,
        clients=max(one.clients for one in done),
        batch=run.config.batch,
        tokens=run.mean_tokens,
        forward_passes=steps if run.head_only else 0,
        bp_steps=0 if run.head_only else steps,
        bytes_down=sum(one.bytes_down for one in done),
        bytes_up=sum(one.bytes_up for one in done),
    )


def _until(
    rounds: Sequence[RoundRecord] | Sequence[BackpropRound], target: float, path: Path
) -> tuple[bool, int]:
    """Whether the target was reached, and the round that counting ends with."""
    accuracies = {
        one.round: one.evaluation.accuracy
        for one in rounds
        if one.round > 0 and one.evaluation is not None and one.evaluation.accuracy is not None
    }
    if not accuracies:
        raise TrainingError(
            "the run has no accuracy of a held-out evaluation after its start",
            remedy="train with labels and --held-out",
            file=path,
        )
    first = next((number for number, one in accuracies.items() if one >= target), None)
    return first is not None, rounds[-1].round if first is None else first
