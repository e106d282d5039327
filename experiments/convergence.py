"""Convergence tables for `fwdllm plan`, one for each group whose methods are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.catalogue import TARGET, groups
from experiments.contract import EncoderModel, ForwardRun, RunResult
from toolkit.plan.convergence import ConvergenceRow, ConvergenceTable


def write_tables(results: Sequence[RunResult], folder: Path) -> None:
    """Writes GROUP.json for each group in which a method backpropagates."""
    for group in groups([one.experiment for one in results]):
        members = [one for one in results if one.experiment.group == group]
        if any(one.experiment.run.kind == "backprop" for one in members):
            table_of(members).write(folder / f"{group}.json")


def table_of(results: Sequence[RunResult]) -> ConvergenceTable:
    """The runs of one group, until the target or their end."""
    problem = results[0].experiment.problem
    model = problem.model
    division = type(problem.partition).__name__.removesuffix("Partition")
    return ConvergenceTable(
        task=f"AG News over {problem.clients} clients, {division}",
        model="MiniLM encoder" if isinstance(model, EncoderModel) else model.kind,
        source=f"python -m experiments run {results[0].experiment.group}",
        rows=tuple(_row(one) for one in results),
    )


def _row(result: RunResult) -> ConvergenceRow:
    reached = result.reaches(TARGET)
    until = result.rounds[-1].round if reached is None else max(1, reached)
    done = result.rounds[: until + 1]
    run = result.experiment.run
    forward = isinstance(run, ForwardRun)
    probes = sum(one.probes for one in done)
    backward = sum(one.backward_passes for one in done)
    # A head alone is trained by passes that nothing goes back through.
    head_only = not forward and _adapts_no_layer(result)
    return ConvergenceRow(
        method=result.experiment.method,
        target_accuracy=TARGET,
        reached=reached is not None,
        seed=result.experiment.problem.seed,
        rounds=until,
        clients=max(one.clients for one in done),
        batch=run.config.batch,
        tokens=result.mean_tokens,
        estimator=run.config.estimator if isinstance(run, ForwardRun) else "central",
        probes=probes,
        forward_passes=sum(one.forward_passes for one in done) if head_only else 0,
        bp_steps=0 if forward or head_only else backward,
        bytes_down=sum(one.bytes_down for one in done),
        bytes_up=sum(one.bytes_up for one in done),
    )


def _adapts_no_layer(result: RunResult) -> bool:
    model = result.experiment.problem.model
    return isinstance(model, EncoderModel) and model.tuning.layers == "none"
