"""Trains over the phones of the hosts that are connected to a SuperLink."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from android_harness.examples import examples_text
from exporters.adapter_values import adapter_values
from exporters.durable_files import write_atomically
from exporters.manifest import Bundle
from toolkit.allocation.contract import Allocation
from toolkit.clients.device_client import ProbeRunner
from toolkit.data.task import Task
from toolkit.federation.flower_fleet import FlowerTimes
from toolkit.federation.host_task import HostTask
from toolkit.federation.superlink_fleet import superlink_fleet
from toolkit.protocol.seed_book import SeedBook
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.device_evaluator import DeviceEvaluator
from toolkit.training.outputs import write_outputs
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import TrainingResult, run_on_fleet
from toolkit.training.setup import begin_or_continue, text_sha256
from toolkit.training.shares import allocated_parts, equal_parts, parts_of_run, shares_of

_JOIN_TIMEOUT_S = 3600.0
# Of an order beyond the work itself: files to the phone, patience, lost messages.
_SLACK_S = 600.0


def train_over_hosts(
    superlink: Path,
    *,
    bundle: Bundle,
    task: Task,
    template: str,
    max_tokens: int,
    config: TrainingConfig,
    out: Path,
    await_clients: int,
    evaluator: ProbeRunner,
    allocation: Allocation | None = None,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Trains the bundle's LoRA values over the hosts' devices, into the RUN folder `out`.

    Hosts make their examples of their own rows; of `task` they learn the words of its labels and
    its loss. Its examples are not used, its held-out ones are evaluated on here. The clients of
    the run are those that are connected when it begins; a run that continues waits for them.

    Args:
        superlink: the folder of a SuperLink that runs on this machine.
        await_clients: how many must have joined before the first round.
        allocation: the probes of each client, by its name HOST/TARGET; None: equal shares. A run
            that continues keeps the shares that it began with.

    Raises:
        TrainingError: the SuperLink does not run, too few clients joined, or the run cannot start
            or continue.
        DeviceError: the evaluation failed.
    """
    folder = RunFolder(out)
    begun = folder.description() if folder.exists() else None
    run_id = begun.run_id if begun else secrets.token_hex(8)
    host_task = HostTask(
        run_id=run_id,
        bundle_sha256=bundle.sha256,
        max_tokens=max_tokens,
        loss=config.loss,
        label_prior=config.label_prior,
        template=template if task.verbalizer else None,
        words=task.verbalizer.words if task.verbalizer else None,
        threads=config.threads,
        prefix_bytes=config.prefix_bytes,
        memory_bytes=config.memory_bytes,
        timeout_s=config.timeout_s,
        privacy=config.privacy,
    )
    manifest = bundle.manifest
    initial = adapter_values(bundle)
    held_out = examples_text(task.held_out) if task.held_out else None
    book = SeedBook(config.seed)
    wanted = {share.client for share in begun.shares} if begun else await_clients
    settings, times = host_task.text(), times_of(config)
    with superlink_fleet(superlink, settings=settings, book=book, times=times) as fleet:
        joined = fleet.await_members(wanted, _JOIN_TIMEOUT_S)
        names = sorted(joined)
        if begun:
            parts = parts_of_run(begun, names)
        elif allocation is not None:
            parts = allocated_parts(names, config, bundle, allocation)
        else:
            parts = equal_parts(names, config, manifest.lora)
        begin_or_continue(
            folder,
            run_id=run_id,
            model_sha256=bundle.sha256,
            layout=manifest.lora,
            initial=initial,
            config=config,
            shares=shares_of(parts, joined),
            held_out_sha256=None if held_out is None else text_sha256(held_out),
        )
        with tempfile.TemporaryDirectory(prefix="fwdllm-") as held_out_folder:
            evaluate = None
            if held_out is not None:
                path = Path(held_out_folder) / "held-out.jsonl"
                write_atomically(path, held_out)
                evaluate = DeviceEvaluator(
                    evaluator, task.held_out, examples=path, run_id=run_id, config=config
                )
            result = run_on_fleet(fleet, folder, evaluator=evaluate, book=book, on_round=on_round)
    write_outputs(folder, bundle, result.values, result.rounds)
    return result


def times_of(config: TrainingConfig) -> FlowerTimes:
    """The usual times, and an end to orders that a host claims to work on.

    A device runs an order twice where its file of values was lost. The server's own deadline
    always comes first, so that late answers may count. None without a limit for an order.
    """
    if config.timeout_s is None:
        return FlowerTimes()
    return FlowerTimes(deadline_s=(config.deadline_s or 0.0) + 2 * config.timeout_s + _SLACK_S)
