"""A whole run over a simulated population, by the server that trains over phones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from toolkit.federation.simulation import simulated_flower_fleet
from toolkit.protocol.fleet import Fleet
from toolkit.protocol.seed_book import SeedBook
from toolkit.simulation.client import TorchClient
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.simulation.fleet import SimulatedFleet, Unreliability
from toolkit.simulation.flower_population import PopulationFactory
from toolkit.simulation.population import Population, client_names
from toolkit.simulation.replicas import ReplicaShelf
from toolkit.simulation.task import Loaded, Loader
from toolkit.simulation.torch_model import TorchModel
from toolkit.training.contract import RoundRecord, RunDescription, TrainingConfig
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import TrainingResult, run_on_fleet
from toolkit.training.setup import begin_or_continue
from toolkit.training.shares import equal_parts, parts_of_run, shares_of

# The fleet through which a run's clients are asked.
FleetOf = Callable[[RunDescription, SeedBook], AbstractContextManager[Fleet]]


def simulate(
    loaded: Loaded,
    config: TrainingConfig,
    out: Path,
    *,
    unreliability: Unreliability | None = None,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Runs or continues a run over simulated clients in this process, into the RUN folder `out`.

    Raises:
        TrainingError: the run cannot start or continue.
        SimulationError: the examples do not suit the model.
    """

    @contextmanager
    def fleet(description: RunDescription, _: SeedBook) -> Iterator[Fleet]:
        clients = _clients(loaded.model, loaded.population, description)
        yield SimulatedFleet(clients, unreliability)

    return _run(loaded, config, out, fleet, on_round)


def simulate_in_processes(
    load: Loader,
    config: TrainingConfig,
    out: Path,
    *,
    workers: int,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """The same in worker processes of Flower's simulation engine.

    Each worker loads a model, keeps cached states of its own and computes in one thread: where
    PyTorch does so here too, the run ends with the same values to the bit, and else to rounding.

    Raises:
        TrainingError: the run cannot start or continue, or the engine did not start.
        SimulationError: the examples do not suit the model.
    """
    loaded = load()

    def fleet(description: RunDescription, book: SeedBook) -> AbstractContextManager[Fleet]:
        factory = PopulationFactory(load, description.config)
        number = len(loaded.population.lines)
        return simulated_flower_fleet(factory, number, book=book, cpus=workers)

    return _run(loaded, config, out, fleet, on_round)


def _run(
    loaded: Loaded,
    config: TrainingConfig,
    out: Path,
    fleet_of: FleetOf,
    on_round: Callable[[RoundRecord], None] | None,
) -> TrainingResult:
    model, population = loaded.model, loaded.population
    if loaded.loss is not None:
        config = config.model_copy(update={"loss": loaded.loss})
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
        model_sha256=loaded.model_sha256,
        layout=model.layout,
        initial=model.initial,
        config=config,
        shares=shares_of(parts, examples),
    )
    evaluator = None
    if len(population.held_out):
        evaluator = TorchEvaluator(model, model.prepare(population.held_out, population.cache))
    book = SeedBook(config.seed)
    with fleet_of(description, book) as fleet:
        return run_on_fleet(fleet, folder, evaluator=evaluator, book=book, on_round=on_round)


def _clients(
    model: TorchModel, population: Population, description: RunDescription
) -> list[TorchClient]:
    """Those that have a share in the run."""
    population = population.of_run(description.config)
    learnt = model.prepare(population.learnt, population.cache)
    replicas = ReplicaShelf(model.layout)
    taking_part = {share.client for share in description.shares}
    return [
        TorchClient(name, model, learnt, own, replicas, population.options)
        for name, own in zip(client_names(len(population.lines)), population.lines, strict=True)
        if name in taking_part
    ]
