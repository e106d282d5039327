"""Trains over devices that this process reaches itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from android_harness.examples import Example, examples_text
from android_harness.job import Loss, VerbalizerLoss
from exporters.adapter_values import adapter_values
from exporters.manifest import Bundle
from toolkit.allocation.contract import Allocation
from toolkit.clients.device_client import ClientSettings, DeviceClient, ProbeRunner
from toolkit.clients.threads import ThreadFleet
from toolkit.data.label_prior import loss_with_prior
from toolkit.data.partition import Partition, partition_rows
from toolkit.data.partition_even import IidPartition
from toolkit.data.table import Rows
from toolkit.errors import TrainingError
from toolkit.privacy.protection import protection_of
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.device_evaluator import DeviceEvaluator
from toolkit.training.outputs import write_outputs
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import TrainingResult, run_on_fleet
from toolkit.training.setup import begin_or_continue, text_sha256
from toolkit.training.shares import Part, allocated_parts, equal_parts, parts_of_run, shares_of


@dataclass(frozen=True)
class TrainingData:
    """Examples to learn from, and others to evaluate on (none: the run is not evaluated).

    `rows` are those that the examples were made of, one each, to divide them over devices by.
    """

    examples: Sequence[Example]
    rows: Rows
    held_out: Sequence[Example] = ()
    partition: Partition = field(default_factory=IidPartition)


def train(
    runners: Sequence[ProbeRunner],
    *,
    bundle: Bundle,
    data: TrainingData,
    config: TrainingConfig,
    out: Path,
    evaluator: ProbeRunner | None = None,
    allocation: Allocation | None = None,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Trains the bundle's LoRA values over the runners' devices, into the RUN folder `out`.

    Each round the server draws directions, and a batch per device; the devices bring their values
    up to date and measure slopes, all at the same time; the server moves the values along the
    forward gradient. A device that fails loses its probes of that round. Called again with the
    same arguments, an interrupted run continues after its last whole round and ends with the same
    values.

    Args:
        evaluator: what the held-out examples run on; None: the first runner.
        allocation: the probes of each device; None: equal shares. A run that continues keeps the
            shares that it began with.
        on_round: called after each round that this call completes, and after the evaluation of
            the start, which is round 0.

    Raises:
        TrainingError: the run cannot start or continue (AllClientsFailedError: nobody answered).
        DataError: the data do not suffice.
        DeviceError: the evaluation failed.
    """
    _check(bundle, data, config)
    folder = RunFolder(out)
    parts = _parts(folder, runners, config, bundle, allocation)
    own = _divided(folder, data, list(parts), config.seed)
    held_out = _Examples(folder.data / "held-out.jsonl", data.held_out)
    layout = bundle.manifest.lora
    initial = adapter_values(bundle)
    description = begin_or_continue(
        folder,
        model_sha256=bundle.sha256,
        layout=layout,
        initial=initial,
        config=config,
        shares=shares_of(
            parts,
            {client: len(each.examples) for client, each in own.items()},
            {client: text_sha256(each.text) for client, each in own.items()},
        ),
        files={each.path: each.text for each in (*own.values(), held_out) if each.examples},
        held_out_sha256=text_sha256(held_out.text) if held_out.examples else None,
    )
    settings = ClientSettings(
        run_id=description.run_id,
        threads=config.threads,
        prefix_bytes=config.prefix_bytes,
        memory_bytes=config.memory_bytes,
        timeout_s=config.timeout_s,
    )
    by_name = {runner.target.name: runner for runner in runners}
    clients = [
        DeviceClient(
            by_name[client],
            examples=each.path,
            count=len(each.examples),
            layout=layout,
            initial=initial,
            loss=loss_with_prior(config.loss, each.examples, config.label_prior),
            settings=settings,
            protection=protection_of(
                config.privacy, description.run_id, client, text_sha256(each.text)
            ),
        )
        for client, each in own.items()
    ]
    evaluate = None
    if held_out.examples:
        evaluate = DeviceEvaluator(
            evaluator or runners[0],
            held_out.examples,
            examples=held_out.path,
            run_id=description.run_id,
            config=config,
        )
    with ThreadFleet(clients) as fleet:
        result = run_on_fleet(fleet, folder, evaluator=evaluate, on_round=on_round)
    write_outputs(folder, bundle, result.values, result.rounds)
    return result


@dataclass(frozen=True)
class _Examples:
    """Examples, and the file of the RUN folder that holds them."""

    path: Path
    examples: Sequence[Example]

    @cached_property
    def text(self) -> str:
        return examples_text(self.examples)


def _check(bundle: Bundle, data: TrainingData, config: TrainingConfig) -> None:
    if config.head is not None:
        raise TrainingError(
            "the native runner has no classification head",
            remedy="classify by prompt and verbalizer",
        )
    if config.memory_bytes is not None and bundle.manifest.format != "gguf":
        raise TrainingError(
            "the programs of this bundle take what memory they were exported with",
            remedy="leave the limit out, or export smaller sizes",
        )
    for example in (*data.examples, *data.held_out):
        _check_example(example, bundle, config.loss)


def _divided(
    folder: RunFolder, data: TrainingData, clients: Sequence[str], seed: int
) -> dict[str, _Examples]:
    """Each client's own examples."""
    divided = partition_rows(data.partition, data.rows, len(clients), seed)
    return {
        client: _Examples(
            folder.data / f"device-{position:03d}.jsonl",
            [data.examples[number] for number in numbers],
        )
        for position, (client, numbers) in enumerate(zip(clients, divided, strict=True))
    }


def _parts(
    folder: RunFolder,
    runners: Sequence[ProbeRunner],
    config: TrainingConfig,
    bundle: Bundle,
    allocation: Allocation | None,
) -> dict[str, Part]:
    clients = [runner.target.name for runner in runners]
    if folder.exists():
        return parts_of_run(folder.description(), clients)
    if allocation is not None:
        return allocated_parts(clients, config, bundle, allocation)
    return equal_parts(clients, config, bundle.manifest.lora)


def _check_example(example: Example, bundle: Bundle, loss: Loss) -> None:
    architecture = bundle.manifest.architecture
    if len(example.tokens) > architecture.context_length:
        raise TrainingError(
            f"an example of {len(example.tokens)} tokens does not fit the model's context "
            f"of {architecture.context_length}",
            remedy="allow fewer tokens per example",
        )
    if not example.target_ids:
        raise TrainingError("an example has nothing to predict")
    if isinstance(loss, VerbalizerLoss) and not set(example.target_ids) <= set(loss.tokens):
        raise TrainingError("an example's target is not among the verbalizer's tokens")
