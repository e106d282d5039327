"""A batch of any size as inputs of runs of a program of fixed sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.encoder_reference import LabelledBatch
from exporters.manifest import Program

Inputs = dict[str, torch.Tensor]
_UNUSED = 0


def next_token_runs(program: Program, sequences: NDArray[np.integer]) -> list[Inputs]:
    """Runs of a decoder's program whose sums are means over every token but each first.

    Args:
        sequences: token ids [sequences, tokens + 1].
    """
    tokens, targets = sequences[:, :-1], sequences[:, 1:]
    length = tokens.shape[1]
    runs = []
    for first in range(0, len(tokens), program.batch):
        here = tokens[first : first + program.batch]
        rows = (np.arange(len(here))[:, None] * program.length + np.arange(length)).reshape(-1)
        wanted = targets[first : first + program.batch].reshape(-1)
        for start in range(0, len(rows), program.positions):
            some = slice(start, start + program.positions)
            runs.append(
                {
                    "tokens": _padded(here, program),
                    "rows": _filled(rows[some], program.positions),
                    "targets": _filled(wanted[some], program.positions),
                    "weights": _weights(len(rows[some]), program, targets.size),
                    "logit_bias": _no_bias(program),
                }
            )
    return runs


def labelled_runs(program: Program, batch: LabelledBatch) -> list[Inputs]:
    """Runs of an encoder's program whose sums are means over the sequences."""
    runs = []
    for first in range(0, len(batch.tokens), program.batch):
        some = slice(first, first + program.batch)
        classes = batch.classes[some]
        mask = _padded(batch.mask[some], program)
        mask[len(classes) :, 0] = 1  # softmax over nothing is no number
        runs.append(
            {
                "tokens": _padded(batch.tokens[some], program),
                "mask": mask,
                "targets": _filled(classes, program.positions),
                "weights": _weights(len(classes), program, len(batch.classes)),
                "logit_bias": _no_bias(program),
            }
        )
    return runs


def _padded(values: NDArray[Any], program: Program) -> torch.Tensor:
    padded = np.zeros((program.batch, program.length), dtype=values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    return torch.from_numpy(padded)


def _filled(values: NDArray[np.integer], size: int) -> torch.Tensor:
    filled = np.full(size, _UNUSED, dtype=np.int64)
    filled[: len(values)] = values
    return torch.from_numpy(filled)


def _weights(used: int, program: Program, of_all: int) -> torch.Tensor:
    weights = torch.zeros(program.positions)
    weights[:used] = 1 / of_all
    return weights


def _no_bias(program: Program) -> torch.Tensor:
    return torch.zeros(next(each.shape for each in program.inputs if each.name == "logit_bias"))
