"""Runs one experiment, or what is left of it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path

from experiments.contract import BackpropRun, Experiment, ForwardRun, RoundResult, RunResult
from experiments.problem import Ready, Workbench
from exporters.lora.support import Support
from toolkit.backprop.contract import BackpropConfig, BackpropRound
from toolkit.backprop.train import train_by_backprop
from toolkit.simulation.client import ClientOptions, TorchClient
from toolkit.simulation.fleet import SimulatedFleet
from toolkit.simulation.replicas import ReplicaShelf
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import TrainingResult, run_on_fleet
from toolkit.training.setup import begin_or_continue
from toolkit.training.shares import equal_parts, shares_of

_VERSIONED = ("fwdllm-toolkit", "torch", "transformers", "numpy")


def execute(
    experiment: Experiment,
    workbench: Workbench,
    folder: Path,
    on_round: Callable[[RoundResult], None],
) -> RunResult:
    """Runs the experiment; one by forward gradients continues where its run in `folder` ended.

    Raises:
        FwdllmError: the inputs are not there, or the run cannot go on.
    """
    started = time.monotonic()
    ready = workbench.ready(experiment.problem)
    stopped: str | None = None
    if isinstance(experiment.run, BackpropRun):
        rounds = _backprop(ready, experiment.run.config, on_round)
    else:
        config = experiment.run.config
        result = _forward(experiment, ready, config, RunFolder(folder / experiment.name), on_round)
        rounds = [forward_round(record, config) for record in result.rounds]
        stopped = result.rounds[-1].stopped
    return RunResult(
        experiment=experiment,
        parameters=int(_trained(experiment.run).mask(ready.model.layout).sum()),
        mean_tokens=ready.mean_tokens,
        rounds=tuple(rounds),
        stopped=stopped,
        seconds=time.monotonic() - started,
        versions=versions(),
    )


def _trained(run: ForwardRun | BackpropRun) -> Support:
    """What moves: an exact head does too, though not along directions."""
    support = run.config.support
    if isinstance(run, ForwardRun) and run.config.head is not None:
        return support.model_copy(update={"head": True})
    return support


def _backprop(
    ready: Ready, config: BackpropConfig, on_round: Callable[[RoundResult], None]
) -> list[RoundResult]:
    result = train_by_backprop(
        ready.model,
        ready.examples,
        ready.clients,
        config,
        evaluator=ready.evaluator,
        on_round=lambda record: on_round(backprop_round(record, config)),
    )
    return [backprop_round(record, config) for record in result.rounds]


def _forward(
    experiment: Experiment,
    ready: Ready,
    config: TrainingConfig,
    folder: RunFolder,
    on_round: Callable[[RoundResult], None],
) -> TrainingResult:
    shelf = ReplicaShelf(ready.model.layout)
    options = ClientOptions().of_run(config)
    fleet = SimulatedFleet(
        [
            TorchClient(name, ready.model, ready.examples, lines, shelf, options)
            for name, lines in ready.clients.items()
        ]
    )
    parts = equal_parts(tuple(ready.clients), config, ready.model.layout)
    begin_or_continue(
        folder,
        model_sha256=hashlib.sha256(experiment.problem.model_dump_json().encode()).hexdigest(),
        layout=ready.model.layout,
        initial=ready.model.initial,
        config=config,
        shares=shares_of(parts, fleet.members()),
    )
    return run_on_fleet(
        fleet,
        folder,
        evaluator=ready.evaluator,
        on_round=lambda record: on_round(forward_round(record, config)),
    )


def forward_round(record: RoundRecord, config: TrainingConfig) -> RoundResult:
    """The counts of a round by forward gradients, from what its clients measured.

    An order with n directions costs 2n passes under `central`; under `forward` and `tangent` one
    for the values themselves and one for each direction. The gradient of an exact head comes from
    that pass, and from one more under `central`.
    """
    orders: dict[tuple[str, int, int], int] = {}
    heads = set()
    for one in record.measurements:
        key = (one.client, one.asked_in, one.increment)
        orders[key] = orders.get(key, 0) + len(one.directions)
        if config.head is not None and one.increment == 0:
            heads.add(key)
    for along in record.along:
        key = (along.client, record.round, along.increment)
        orders[key] = orders.get(key, 0) + 1
    passes = {
        key: 2 * directions + (key in heads) if config.estimator == "central" else directions + 1
        for key, directions in orders.items()
    }
    by_client: dict[str, int] = {}
    for (client, *_), number in passes.items():
        by_client[client] = by_client.get(client, 0) + number
    return RoundResult(
        round=record.round,
        clients=len(by_client),
        probes=record.probes,
        forward_passes=sum(passes.values()),
        backward_passes=0,
        examples=sum(passes.values()) * config.batch,
        slowest_forward=max(by_client.values(), default=0) * config.batch,
        slowest_backward=0,
        bytes_down=record.bytes_down,
        bytes_up=record.bytes_up,
        loss=record.evaluation.loss if record.evaluation else None,
        accuracy=record.evaluation.accuracy if record.evaluation else None,
    )


def backprop_round(record: BackpropRound, config: BackpropConfig) -> RoundResult:
    """The counts of a baseline's round; clients have equally much to do, but for rounding up."""
    steps = -(-record.forward_passes // record.clients) if record.clients else 0
    return RoundResult(
        round=record.round,
        clients=record.clients,
        probes=0,
        forward_passes=record.forward_passes,
        backward_passes=record.backward_passes,
        examples=record.example_passes,
        slowest_forward=steps * config.batch,
        slowest_backward=steps * config.batch,
        bytes_down=record.bytes_down,
        bytes_up=record.bytes_up,
        loss=record.evaluation.loss if record.evaluation else None,
        accuracy=record.evaluation.accuracy if record.evaluation else None,
    )


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}
