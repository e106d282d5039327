"""What travels between the server and a device, in bytes of payload.

Counted without the transport's own framing. A direction is named by its seed; a probe's answer is
one float32; a snapshot is the flat LoRA vector in float32.
"""

from __future__ import annotations

SEED_BYTES = 8
COEFFICIENT_BYTES = 4
SLOPE_BYTES = 4
EXAMPLE_NUMBER_BYTES = 4
VALUE_BYTES = 4


def update_bytes(pairs: int) -> int:
    """An update of the LoRA values, as (seed, coefficient) pairs."""
    return (SEED_BYTES + COEFFICIENT_BYTES) * pairs


def snapshot_bytes(parameters: int) -> int:
    """The LoRA values themselves."""
    return VALUE_BYTES * parameters


def request_bytes(seeds: int, examples: int) -> int:
    """Which directions to probe, on which examples of the device's own data."""
    return SEED_BYTES * seeds + EXAMPLE_NUMBER_BYTES * examples


def answer_bytes(slopes: int) -> int:
    """The slopes that come back."""
    return SLOPE_BYTES * slopes
