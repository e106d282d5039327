"""A client's own label shares in its loss, so that skewed clients pull less against each other.

A client that has mostly one label measures, above all, that this label is frequent on its own
phone. Those parts of the clients' slopes cancel in the mean, but each of them enters the forward
gradient multiplied by a random direction, and that noise does not cancel. With the logarithm of
the client's label shares added to the logits, the model has nothing to learn from them (logit
adjustment: Menon et al., ICLR 2021; on the clients of a federation: Zhang et al., ICML 2022). The
shares stay with the client, and nothing is added where the model is evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from android_harness.examples import Example
from android_harness.job import Loss, VerbalizerLoss

# Of an example, for each class: one that the client lacks is rare, not impossible.
_SMOOTHING = 0.5


def log_shares(counts: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float64]:
    """log((count + ½) / (all + ½ · classes)) of each class, in nats, float64 [classes]."""
    smoothed = np.asarray(counts, dtype=np.float64) + _SMOOTHING
    shares: NDArray[np.float64] = np.log(smoothed / smoothed.sum())
    return shares


def loss_with_prior(loss: Loss, examples: Iterable[Example], strength: float) -> Loss:
    """The loss with `strength` times the examples' log shares added to the labels' logits.

    A loss over the vocabulary stays as it is, and so does every loss at a strength of 0.
    """
    if strength == 0 or not isinstance(loss, VerbalizerLoss):
        return loss
    found = Counter(target for example in examples for target in example.target_ids)
    shifts = strength * log_shares([found[token] for token in loss.tokens])
    return loss.model_copy(update={"shifts": tuple(shifts.tolist())})
