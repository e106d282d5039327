"""What travels between the server and a client, estimated in bytes of payload.

For plans and for choosing between log and snapshot; what is sent is counted as it is encoded
(`toolkit.protocol.codec`). Directions of a round are named together by where their seeds are
drawn, so that a probe costs its float32 coefficient down and its float32 slope up.
"""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.protocol.update import RoundUpdate

COEFFICIENT_BYTES = 4
SLOPE_BYTES = 4
EXAMPLE_NUMBER_BYTES = 4
VALUE_BYTES = 4
SEED_BYTES = 8


def update_bytes(pairs: int) -> int:
    """An update of the LoRA values, as a sum of directions."""
    return COEFFICIENT_BYTES * pairs


def updates_bytes(updates: Iterable[RoundUpdate]) -> int:
    """Several updates, each as a sum of directions or as values that replace others."""
    total = 0
    for update in updates:
        for combination in update.combinations:
            for name, _ in combination.pairs:
                # Names that a tensor each was chosen for cannot be drawn again by the client.
                total += COEFFICIENT_BYTES
                total += 0 if isinstance(name, int) else SEED_BYTES * len(name)
        total += sum(VALUE_BYTES * len(each.values) for each in update.overwrites)
    return total


def snapshot_bytes(parameters: int) -> int:
    """The LoRA values themselves."""
    return VALUE_BYTES * parameters


def request_bytes(examples: int) -> int:
    """Which of the client's own examples to probe on."""
    return EXAMPLE_NUMBER_BYTES * examples


def answer_bytes(slopes: int) -> int:
    """The slopes that come back."""
    return SLOPE_BYTES * slopes
