"""Random directions over the LoRA parameters, named by a 64-bit seed.

The stream behind a direction is `numpy.random.Philox(key=(seed, 0)).random_raw()`, that is
Philox4x64-10 (Salmon et al., SC 2011) whose first block has counter 1. Word w of the stream is
therefore element w mod 4 of the block with counter w // 4 + 1, so any part of a direction can be
made without the rest, and the same bits come out on every platform.

* Rademacher: parameter i is +1 where bit (i mod 64) of word (i // 64) is 0, else -1.
* Gaussian: parameters 2j and 2j + 1 are the Box-Muller pair of words 2j and 2j + 1, with
  uniforms (word >> 11 + 0.5) * 2**-53. libm differs between platforms in the last bits, so
  Gaussian directions agree within 1e-6, not bit for bit.

The native runners implement the same in `android_harness/runner/src/common/directions.cpp`; both
are held to `tests/directions_vectors.json`.
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
    return direction_range(seed, 0, parameters, distribution)


def direction_range(
    seed: int, start: int, stop: int, distribution: Distribution = "rademacher"
) -> NDArray[np.float32]:
    """Elements `start` to `stop` of a direction, float32 [stop - start], made without the rest."""
    if distribution == "rademacher":
        return _of_signs(_SIGNS, seed, start, stop)
    return _gaussian(seed, start, stop)


def add_direction(
    values: NDArray[np.float32],
    seed: int,
    scale: float,
    *,
    start: int = 0,
    distribution: Distribution = "rademacher",
) -> None:
    """values += scale · direction[start : start + len(values)], in float32, in place.

    `scale` is rounded to float32 first; then come one rounded product and one rounded sum.
    """
    factor, stop = np.float32(scale), start + len(values)
    if distribution == "rademacher":
        values += _of_signs(factor * _SIGNS, seed, start, stop)
    else:
        values += factor * _gaussian(seed, start, stop)


def draw_seeds(run_seed: int, stream: int, count: int) -> list[int]:
    """`count` seeds below 2**63 for one purpose of a run, e.g. one round.

    `stream` is at least 1: stream 0 of a seed is the direction that the seed itself names.
    """
    if stream < 1:
        raise ValueError(f"a seed stream is at least 1, got {stream}")
    words = _words(run_seed, 0, count, stream=stream)
    return [int(word) for word in words >> np.uint64(1)]


# The eight elements that each byte of the stream stands for, float32 [256, 8]. Looking bytes up is
# some ten times faster than arithmetic on single bits.
_SIGNS = np.float32(1) - np.float32(2) * np.unpackbits(
    np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"
)


def _words(seed: int, start: int, stop: int, stream: int = 0) -> NDArray[np.uint64]:
    """Words `start` to `stop` of a seed's stream, uint64 [stop - start]."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"a seed is a 64-bit unsigned integer, got {seed}")
    block, before = divmod(start, 4)
    # numpy counts up before it makes a block: from counter 0 the first one has counter 1.
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=block)
    return generator.random_raw(stop - start + before)[before:].astype(np.uint64, copy=False)


def _of_signs(signs: NDArray[np.float32], seed: int, start: int, stop: int) -> NDArray[np.float32]:
    """A part of a Rademacher direction; `signs`: `_SIGNS`, or a multiple of it."""
    first = start // 64
    words = _words(seed, first, -(-stop // 64))
    elements = signs.take(words.astype("<u8", copy=False).view(np.uint8), axis=0).reshape(-1)
    return elements[start - 64 * first : stop - 64 * first]


def _gaussian(seed: int, start: int, stop: int) -> NDArray[np.float32]:
    first = start - start % 2
    words = _words(seed, first, stop + stop % 2)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[0::2]))
    angle = 2.0 * np.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[start - first : stop - first].astype(np.float32)
