"""The three fleets of `fwdllm train`: devices, hosts of a SuperLink, simulated clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from android_harness.job import Estimator
from device_bench.profiles.profile import Profile
from exporters.lora.request import layer_range
from exporters.manifest import Bundle
from exporters.tokenizer import load_tokenizer
from toolkit.allocation.allocate import allocate
from toolkit.allocation.choose_epsilon import CalibratedEpsilon, calibrated_epsilon
from toolkit.allocation.choose_estimator import choose_estimator
from toolkit.allocation.contract import Allocation
from toolkit.backprop.baseline import BaselineRun, run_baseline
from toolkit.backprop.contract import Adam, BackpropConfig, BackpropRound, FedAvg, FedSgd
from toolkit.cli.allocate import table as allocation_table
from toolkit.cli.console import OnProgress, err
from toolkit.cli.fleet import installed
from toolkit.cli.profiles import read_profiles
from toolkit.cli.training_config import Baseline
from toolkit.cli.training_output import outcome_line
from toolkit.data.partition import Partition
from toolkit.data.source import DataSource
from toolkit.data.task import Task, TextSource, load_task
from toolkit.errors import TrainingError
from toolkit.federation.train import train_over_hosts
from toolkit.simulation.run import simulate, simulate_in_processes
from toolkit.simulation.task import (
    EncoderLora,
    SimulatedBundle,
    SimulatedData,
    SimulatedEncoder,
)
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import TrainingResult
from toolkit.training.train import TrainingData, train


@dataclass(frozen=True)
class DataOptions:
    """The rows to learn from and to evaluate on, and how they become examples."""

    source: TextSource
    partition: Partition
    held_out: int
    held_out_path: DataSource | None
    template: str
    words: Mapping[str, str] | None
    max_tokens: int
    most_examples: int | None

    def task(self, bundle: Bundle, seed: int) -> Task:
        return load_task(
            self.source,
            load_tokenizer(bundle),
            held_out=self.held_out,
            held_out_path=self.held_out_path,
            template=self.template,
            words=self.words,
            max_tokens=self.max_tokens,
            most_examples=self.most_examples,
            seed=seed,
            classes=bundle.manifest.architecture.classes,
        )


@dataclass(frozen=True)
class RunRequest:
    """A run as asked for; `config` still lacks the loss and the layers, which the model decides.

    With `choose_estimator` the profiles or the allocation decide that of `config` too, with
    `choose_epsilon` the profiles its step.
    """

    model: Path
    data: DataOptions
    config: TrainingConfig
    layers: str | None
    out: Path
    on_round: Callable[[RoundRecord], None]
    on_progress: OnProgress
    choose_estimator: bool = False
    choose_epsilon: bool = False

    def by(self, estimator: Estimator) -> RunRequest:
        """With this estimator, where it is not decided yet."""
        return self._with("estimator", estimator) if self.choose_estimator else self

    def at(self, epsilon: float) -> RunRequest:
        """With this step, where it is not decided yet."""
        return self._with("epsilon", epsilon) if self.choose_epsilon else self

    def _with(self, field: str, value: object) -> RunRequest:
        return replace(self, config=self.config.model_copy(update={field: value}))

    def config_for(self, bundle: Bundle, task: Task) -> TrainingConfig:
        return self.limited_to_layers(bundle).model_copy(update={"loss": task.loss})

    def limited_to_layers(self, bundle: Bundle) -> TrainingConfig:
        """The configuration with `layers` of the bundle's model."""
        if self.layers is None:
            return self.config
        layers = layer_range(self.layers, bundle.manifest.architecture.layers)
        support = self.config.support.model_copy(update={"layers": layers})
        return self.config.model_copy(update={"support": support})


def over_devices(
    request: RunRequest,
    targets: Sequence[str],
    *,
    device: str | None,
    profiles: Sequence[str],
    allocation: Path | None,
    quiet: bool,
) -> TrainingResult:
    """Devices that this machine reaches itself."""
    bundle = Bundle(request.model)
    task = request.data.task(bundle, request.config.seed)
    request, allocated = _allocation(request, profiles, allocation, quiet=quiet)
    config = request.config_for(bundle, task)
    with ExitStack() as stack:
        runners = [
            stack.enter_context(installed(spec, bundle, request.on_progress, device))
            for spec in targets
        ]
        # Held-out data stay with the server: it evaluates on the machine that it runs on.
        if "local" in targets:
            evaluator = runners[targets.index("local")]
        else:
            evaluator = stack.enter_context(installed("local", bundle, request.on_progress))
        return train(
            runners,
            bundle=bundle,
            data=TrainingData(task.examples, task.rows, task.held_out, request.data.partition),
            config=config,
            out=request.out,
            evaluator=evaluator,
            allocation=allocated,
            on_round=request.on_round,
        )


def over_hosts(
    request: RunRequest,
    superlink: Path,
    *,
    await_clients: int,
    profiles: Sequence[str],
    allocation: Path | None,
    quiet: bool,
) -> TrainingResult:
    """The phones of the hosts that are connected to a SuperLink; rows here are held out."""
    bundle = Bundle(request.model)
    if bundle.manifest.architecture.classes is not None:
        raise TrainingError(
            "hosts make examples for language models alone",
            remedy="train an encoder over devices of this machine",
        )
    task = request.data.task(bundle, request.config.seed)
    request, allocated = _allocation(request, profiles, allocation, quiet=quiet)
    with installed("local", bundle, request.on_progress) as evaluator:
        return train_over_hosts(
            superlink,
            bundle=bundle,
            task=task,
            template=request.data.template,
            max_tokens=request.data.max_tokens,
            config=request.config_for(bundle, task),
            out=request.out,
            await_clients=await_clients,
            allocation=allocated,
            evaluator=evaluator,
            on_round=request.on_round,
        )


def over_simulated(
    request: RunRequest,
    clients: int,
    *,
    workers: int,
    lora: EncoderLora,
    profiles: Sequence[Path],
) -> TrainingResult:
    """Clients in PyTorch; with profiles their seconds are those of the devices, modelled."""
    load, config = _simulated(request, clients, lora, profiles)
    if workers > 1:
        return simulate_in_processes(
            load, config, request.out, workers=workers, on_round=request.on_round
        )
    return simulate(load(), config, request.out, on_round=request.on_round)


def over_baseline(
    request: RunRequest,
    clients: int,
    *,
    lora: EncoderLora,
    kind: Baseline,
    rate: float,
    quiet: bool,
) -> BaselineRun:
    """Backpropagation over simulated clients."""
    load, config = _simulated(request, clients, lora, ())
    optimizer = Adam(rate=rate)
    backprop = BackpropConfig(
        rounds=config.rounds,
        clients=config.clients,
        batch=config.batch,
        method=FedAvg(optimizer=optimizer) if kind == "fedavg" else FedSgd(optimizer=optimizer),
        support=config.support,
        seed=config.seed,
        evaluate_every=config.evaluate_every,
    )

    def on_round(record: BackpropRound) -> None:
        request.on_progress("rounds", record.round, config.rounds)
        if not quiet:
            err.print(outcome_line(record), highlight=False)

    return run_baseline(load(), backprop, request.out, on_round)


def _simulated(
    request: RunRequest, clients: int, lora: EncoderLora, profiles: Sequence[Path]
) -> tuple[SimulatedBundle | SimulatedEncoder, TrainingConfig]:
    """What makes the model and its clients, and the configuration with its layers."""
    options, config = request.data, request.config
    data = SimulatedData(
        source=options.source,
        clients=clients,
        partition=options.partition,
        held_out=options.held_out,
        held_out_path=options.held_out_path,
        max_tokens=options.max_tokens,
        most_examples=options.most_examples,
        seed=config.seed,
        profiles=tuple(profiles),
    )
    if (request.model / "manifest.json").exists():
        load = SimulatedBundle(request.model, data, options.template, options.words)
        return load, request.limited_to_layers(Bundle(request.model))
    return SimulatedEncoder(request.model, data, lora, request.layers or "all"), config


def _allocation(
    request: RunRequest, profiles: Sequence[str], path: Path | None, *, quiet: bool
) -> tuple[RunRequest, Allocation | None]:
    """The run's division of probes over devices, which is shown; None: equal shares.

    A run that continues keeps its shares, its estimator and its step, also when its profiles have
    expired since. The request comes back with the estimator and the step that were chosen.
    """
    begun = RunFolder(request.out)
    if begun.exists():
        config = begun.description().config
        return request.by(config.estimator).at(config.epsilon), None
    if path is None and not profiles:
        return request, None
    if path is not None:
        allocated, step = Allocation.read(path), None
    else:
        read = read_profiles(profiles)
        allocated = _allocated(read, request)
        step = calibrated_epsilon(read, allocated)
    if not quiet:
        err.print(allocation_table(allocated))
    request = request.by(allocated.estimator)
    if step is None or not request.choose_epsilon:
        return request, allocated
    if not quiet:
        err.print(_step_line(step, allocated.estimator), highlight=False)
    return request.at(step.epsilon), allocated


def _step_line(step: CalibratedEpsilon, estimator: Estimator) -> str:
    of = f"{step.devices} calibrated: {step.lowest:.2g} to {step.highest:.2g}"
    return f"epsilon {step.epsilon:.2g} for {estimator}, the median of the devices ({of})"


def _allocated(profiles: Sequence[Profile], request: RunRequest) -> Allocation:
    """The division of the run's probes by the profiles.

    Each device may use any number of directions at once that was measured.
    """
    config = request.config
    measured = {
        arm.directions_per_pass
        for profile in profiles
        for backend in profile.backends
        for arm in backend.arms
    }
    now = datetime.now(UTC)

    def divided(estimator: Estimator) -> Allocation:
        return allocate(
            profiles,
            probes=config.probes,
            batch=config.batch,
            tokens=request.data.max_tokens,
            estimator=estimator,
            directions_per_pass=sorted(measured or {1}),
            now=now,
        )

    if request.choose_estimator:
        return choose_estimator(profiles, divided)
    return divided(config.estimator)
