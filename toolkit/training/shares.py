"""Who takes part in a run, with what part of a round's probes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporters.lora.support import ParameterLayout, Support
from exporters.manifest import Bundle
from toolkit.allocation.contract import Allocation
from toolkit.errors import TrainingError
from toolkit.training.contract import RunDescription, Share, TrainingConfig


@dataclass(frozen=True)
class Part:
    """One client's part of every round, before its data are known."""

    probes: int
    directions_per_pass: int
    batch: int
    support: Support
    weight: float = 1.0  # of each of its probes


def equal_parts(
    clients: Sequence[str], config: TrainingConfig, layout: ParameterLayout
) -> dict[str, Part]:
    """The round's probes in equal parts, at least one each; in the order of the clients.

    Where not all clients are asked in a round, the parts of those that are make up the round.
    Without a selection, clients beyond the number of probes are left out. With split layers the
    adapted layers that the run moves are dealt out in turn, one to each client.

    Raises:
        TrainingError: a client is given twice, or there is none.
    """
    twice = [name for name, times in Counter(clients).items() if times > 1]
    if not clients or twice:
        raise TrainingError(
            f"the target {twice[0]} is given twice" if twice else "training needs a target"
        )
    taking_part = len(clients) if config.clients is None else min(config.clients, len(clients))
    least, more = divmod(config.probes, taking_part)
    if config.clients is not None:
        least, more = max(1, least), 0  # of whoever is asked; a round divides its probes over them
    supports = _supports(config, layout)
    parts = {
        name: Part(
            probes=least + (position < more),
            directions_per_pass=config.directions_per_pass,
            batch=config.batch,
            support=supports[position % len(supports)],
        )
        for position, name in enumerate(clients)
    }
    return {name: part for name, part in parts.items() if part.probes}


def allocated_parts(
    clients: Sequence[str], config: TrainingConfig, bundle: Bundle, allocation: Allocation
) -> dict[str, Part]:
    """The parts that the allocation gives, without the clients that it gives no probes.

    Raises:
        TrainingError: the allocation is for another bundle, other probes or clients.
    """
    if allocation.bundle_sha256 != bundle.sha256:
        raise TrainingError(
            "the allocation was made from profiles of another bundle",
            remedy="measure the devices with this bundle",
        )
    equal_parts(clients, config, bundle.manifest.lora)  # refuses what no run can begin with
    allocated = {device.target: device for device in allocation.devices if device.probes}
    absent = sorted(set(allocated) - set(clients))
    if absent:
        raise TrainingError(
            f"the allocation gives probes to {', '.join(absent)}, which is not among the targets",
            remedy="give the targets that were allocated, or allocate again",
        )
    for field in ("probes", "estimator"):
        planned, asked = getattr(allocation, field), getattr(config, field)
        if planned != asked:
            raise TrainingError(
                f"the allocation is for {field} {planned}, the run for {asked}",
                remedy="allocate again with the settings of the run",
            )
    return {
        name: Part(
            probes=allocated[name].probes,
            directions_per_pass=allocated[name].directions_per_pass,
            batch=allocated[name].batch,
            support=config.support.model_copy(update={"layers": allocated[name].layers})
            if allocated[name].layers is not None
            else config.support,
            weight=allocated[name].worth,
        )
        for name in clients
        if name in allocated
    }


def parts_of_run(description: RunDescription, clients: Sequence[str]) -> dict[str, Part]:
    """The parts that the run began with.

    Raises:
        TrainingError: a client of the run is not among `clients`.
    """
    absent = sorted({share.client for share in description.shares} - set(clients))
    if absent:
        raise TrainingError(
            f"the run began with {', '.join(absent)}, which is not among the targets",
            remedy="give the targets of the first invocation, or another --out",
        )
    return {
        share.client: Part(
            share.probes, share.directions_per_pass, share.batch, share.support, share.weight
        )
        for share in description.shares
    }


def shares_of(
    parts: Mapping[str, Part], examples: Mapping[str, int], sha256: Mapping[str, str] | None = None
) -> tuple[Share, ...]:
    """The parts with the examples that each client has.

    Args:
        sha256: of the clients' examples files, where the server knows them.
    """
    return tuple(
        Share(
            client=client,
            probes=part.probes,
            directions_per_pass=part.directions_per_pass,
            batch=part.batch,
            support=part.support,
            weight=part.weight,
            examples=examples[client],
            examples_sha256=None if sha256 is None else sha256[client],
        )
        for client, part in parts.items()
    )


def _supports(config: TrainingConfig, layout: ParameterLayout) -> list[Support]:
    if not config.split_layers:
        return [config.support]
    moved = [tensor for tensor in layout.tensors if config.support.contains(tensor)]
    layers = sorted({tensor.layer for tensor in moved if tensor.matrix != "head"})
    return [config.support.model_copy(update={"layers": (layer, layer)}) for layer in layers] or [
        config.support
    ]
