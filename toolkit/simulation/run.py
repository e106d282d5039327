"""A whole run over a simulated population, by the server that trains over phones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.simulation.client import ClientOptions, TorchClient
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.simulation.fleet import SimulatedFleet, Unreliability
from toolkit.simulation.prefix_cache import CachePolicy
from toolkit.simulation.replicas import ReplicaShelf
from toolkit.simulation.token_store import TokenStore
from toolkit.simulation.torch_model import TorchModel
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import TrainingResult, run_on_fleet
from toolkit.training.setup import begin_or_continue
from toolkit.training.shares import equal_parts, parts_of_run, shares_of


@dataclass(frozen=True)
class Population:
    """Simulated clients over one store of examples.

    `lines` are each client's own; `held_out` (empty: no evaluation) is the server's.
    """

    learnt: TokenStore
    lines: Sequence[NDArray[np.int64]]
    held_out: TokenStore
    options: ClientOptions = field(default_factory=ClientOptions)
    unreliability: Unreliability = field(default_factory=Unreliability)
    cache: CachePolicy = field(default_factory=CachePolicy)


def client_names(clients: int) -> list[str]:
    """What simulated clients are called, in order."""
    digits = len(str(clients - 1))
    return [f"client-{number:0{digits}d}" for number in range(clients)]


def simulate(
    model: TorchModel,
    population: Population,
    *,
    model_sha256: str,
    config: TrainingConfig,
    out: Path,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Runs or continues a run over simulated clients, into the RUN folder `out`.

    Args:
        model_sha256: fixes what the model is, for a run that continues.

    Raises:
        TrainingError: the run cannot start or continue.
        SimulationError: the examples do not suit the model.
    """
    names = client_names(len(population.lines))
    folder = RunFolder(out)
    examples = {name: len(own) for name, own in zip(names, population.lines, strict=True)}
    parts = (
        parts_of_run(folder.description(), names)
        if folder.exists()
        else equal_parts(names, config, model.layout)
    )
    description = begin_or_continue(
        folder,
        model_sha256=model_sha256,
        layout=model.layout,
        initial=model.initial,
        config=config,
        shares=shares_of(parts, examples),
    )
    learnt = model.prepare(population.learnt, population.cache)
    options = replace(
        population.options,
        privacy=config.privacy,
        # Nobody is protected from: whoever runs a simulation has all of its data.
        secret=description.run_id.encode(),
        label_prior=config.label_prior,
    )
    replicas = ReplicaShelf(model.layout)
    clients = [
        TorchClient(name, model, learnt, own, replicas, options)
        for name, own in zip(names, population.lines, strict=True)
        if name in parts
    ]
    evaluator = None
    if len(population.held_out):
        evaluator = TorchEvaluator(model, model.prepare(population.held_out, population.cache))
    fleet = SimulatedFleet(clients, population.unreliability)
    return run_on_fleet(fleet, folder, evaluator=evaluator, on_round=on_round)
