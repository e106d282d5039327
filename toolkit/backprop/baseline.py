"""A baseline's run, and the folder that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from exporters.contract import Contract
from exporters.durable_files import write_atomically
from toolkit.backprop.contract import BackpropConfig, BackpropRound
from toolkit.backprop.train import train_by_backprop
from toolkit.errors import TrainingError
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.simulation.population import client_names
from toolkit.simulation.task import Loaded

BASELINE_FILE, VALUES_FILE = "baseline.json", "values.f32"


class BaselineRun(Contract):
    """baseline.json: a finished run.

    `trained` are the parameters that moved, `mean_tokens` the length of an example. `head_only`:
    nothing went backwards through the encoder.
    """

    word: ClassVar[str] = "run of a baseline"

    model_sha256: str
    config: BackpropConfig
    trained: PositiveInt
    mean_tokens: PositiveFloat
    head_only: bool
    rounds: tuple[BackpropRound, ...]


def run_baseline(
    loaded: Loaded,
    config: BackpropConfig,
    out: Path,
    on_round: Callable[[BackpropRound], None] | None = None,
) -> BaselineRun:
    """Trains by backpropagation over simulated clients; writes `out` when it is done.

    The folder then holds baseline.json and values.f32, the trained vector as little-endian
    float32.

    Raises:
        TrainingError: the folder holds something already, or a client has no examples.
        SimulationError: the examples do not suit the model's loss.
    """
    if out.exists() and any(out.iterdir()):
        raise TrainingError(
            "the folder is not empty", remedy="give another --out, or delete it", file=out
        )
    model, population = loaded.model, loaded.population
    evaluator = None
    if len(population.held_out):
        evaluator = TorchEvaluator(model, model.prepare(population.held_out, population.cache))
    result = train_by_backprop(
        model,
        model.prepare(population.learnt, population.cache),
        dict(zip(client_names(len(population.lines)), population.lines, strict=True)),
        config,
        evaluator=evaluator,
        on_round=on_round,
    )
    moved = [tensor for tensor in model.layout.tensors if config.support.contains(tensor)]
    learnt = population.learnt
    run = BaselineRun(
        model_sha256=loaded.model_sha256,
        config=config,
        trained=int(config.support.mask(model.layout).sum()),
        mean_tokens=float(np.mean([learnt.length(line) for line in range(len(learnt))])),
        head_only=all(tensor.matrix == "head" for tensor in moved),
        rounds=result.rounds,
    )
    write_atomically(out / VALUES_FILE, result.values.astype("<f4").tobytes())
    run.write(out / BASELINE_FILE)
    return run
