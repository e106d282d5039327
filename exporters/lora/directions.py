"""Random directions over the LoRA parameters, named by a 64-bit seed.

The stream behind a direction is `numpy.random.Philox(key=(seed, 0)).random_raw()`, that is
Philox4x64-10 (Salmon et al., SC 2011) whose first block has counter 1. Word w of the stream is
therefore element w mod 4 of the block with counter w // 4 + 1, so any part of a direction can be
made without the rest, and the same bits come out on every platform.

* Rademacher: parameter i is +1 where bit (i mod 64) of word (i // 64) is 0, else -1.
* Gaussian: parameters 2j and 2j + 1 are the Box-Muller pair of words 2j and 2j + 1, with
  uniforms (word >> 11 + 0.5) * 2**-53. libm differs between platforms in the last bits, so
  Gaussian directions agree within 1e-6, not bit for bit.

The native runner implements the same in `android_harness/runner/src/directions.cpp`; both are
held to `tests/directions_vectors.json`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Distribution = Literal["rademacher", "gaussian"]

# Seeds stay below 2**63 so that tables with signed 64-bit columns (Parquet, pandas) hold them.
SEED_LIMIT = 1 << 63


def direction(
    seed: int, parameters: int, distribution: Distribution = "rademacher"
) -> NDArray[np.float32]:
    """The direction of `seed`: float32 [parameters], variance 1 per element."""
    if distribution == "rademacher":
        return _rademacher(seed, parameters)
    return _gaussian(seed, parameters)


def draw_seeds(run_seed: int, stream: int, count: int) -> list[int]:
    """`count` seeds below 2**63 for one purpose of a run, e.g. one round.

    `stream` is at least 1: stream 0 of a seed is the direction that the seed itself names.
    """
    if stream < 1:
        raise ValueError(f"a seed stream is at least 1, got {stream}")
    words = _words(run_seed, count, stream=stream)
    return [int(word) for word in words >> np.uint64(1)]


def _words(seed: int, count: int, stream: int = 0) -> NDArray[np.uint64]:
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"a seed is a 64-bit unsigned integer, got {seed}")
    key = np.array([seed, stream], dtype=np.uint64)
    return np.random.Philox(key=key).random_raw(count).astype(np.uint64, copy=False)


def _rademacher(seed: int, parameters: int) -> NDArray[np.float32]:
    words = _words(seed, -(-parameters // 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")[:parameters]
    return np.float32(1) - np.float32(2) * bits


def _gaussian(seed: int, parameters: int) -> NDArray[np.float32]:
    words = _words(seed, parameters + parameters % 2)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[0::2]))
    angle = 2.0 * np.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[:parameters].astype(np.float32)
