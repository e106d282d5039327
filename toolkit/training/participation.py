"""Which clients a round asks, in what order, and how probes are divided over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.training.contract import Share, TrainingConfig


def order_of_round(config: TrainingConfig, number: int, clients: Sequence[str]) -> list[str]:
    """The clients in the order in which the round turns to them.

    As given where all of them are asked; else drawn for the round alone.
    """
    if config.clients is None or config.clients >= len(clients):
        return list(clients)
    order = np.random.default_rng([config.seed, number, _ORDER]).permutation(len(clients))
    return [clients[position] for position in order]


def divide(probes: int, shares: Mapping[str, Share]) -> dict[str, int]:
    """Whole probes in proportion to the clients' shares, by largest remainders.

    Where they add up to the shares' own total, everyone gets exactly the own share. Clients that
    get none are left out.
    """
    total = sum(share.probes for share in shares.values())
    exact = {client: probes * share.probes / total for client, share in shares.items()}
    counts = {client: int(value) for client, value in exact.items()}
    missing = probes - sum(counts.values())
    by_remainder = sorted(exact, key=lambda client: counts[client] - exact[client])
    for client in by_remainder[:missing]:
        counts[client] += 1
    return {client: count for client, count in counts.items() if count}


def draw_batch(
    config: TrainingConfig, number: int, draw: int, position: int, *, examples: int, size: int
) -> tuple[int, ...]:
    """Distinct lines of a client's examples; `draw` tells the batches of one round apart.

    `position` is the client's among the run's shares.
    """
    generator = np.random.default_rng([config.seed, number, position, draw])
    chosen = generator.choice(examples, size=min(size, examples), replace=False)
    return tuple(int(line) for line in np.sort(chosen))


# Tells the stream of the clients' order from those of the batches.
_ORDER = 1 << 40
