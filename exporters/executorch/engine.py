"""A bundle's programs run on this machine by the runtime in ExecuTorch's wheel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.errors import ExportError
from exporters.executorch.lower import PROGRAM_NAME, WEIGHTS_NAME
from exporters.manifest import Program

_NO_TARGET = 0


class Engine:
    """Loads a bundle's programs; a method's weights are read when it first runs.

    Args:
        folder: holds the program and its weights.

    Raises:
        ExportError: the files cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        runtime = _runtime()
        try:
            self._module: Any = runtime._load_for_executorch(
                str(folder / PROGRAM_NAME), str(folder / WEIGHTS_NAME)
            )
        except RuntimeError as error:
            raise ExportError(
                f"ExecuTorch cannot load the programs: {error}", file=folder / PROGRAM_NAME
            ) from error

    def run(self, program: Program, inputs: dict[str, torch.Tensor]) -> list[NDArray[Any]]:
        """The outputs of one run, in the program's order.

        Raises:
            ExportError: the runtime lacks an operator or the delegate, or the run failed.
        """
        ordered = [inputs[each.name] for each in program.inputs]
        try:
            outputs = self._module.run_method(program.method, ordered)
        except RuntimeError as error:
            raise ExportError(
                f"ExecuTorch cannot run {program.method}: {str(error).splitlines()[0]}"
            ) from error
        return [output.numpy() for output in outputs]

    def mean(
        self,
        program: Program,
        sequences: NDArray[np.integer],
        lora: dict[str, NDArray[np.float32]],
    ) -> NDArray[np.float64]:
        """What a program sums, as means over every token of `sequences` but the first of each.

        Args:
            sequences: token ids [sequences, tokens + 1].
            lora: the inputs of the program that hold LoRA values.

        Returns:
            float64: the losses of a `loss` program [K]; the loss and the slopes of a `tangent`
            program [1 + K].
        """
        total: NDArray[np.float64] | None = None
        for inputs in _parts(program, sequences):
            inputs |= {name: torch.from_numpy(value) for name, value in lora.items()}
            outputs = self.run(program, inputs)
            sums = outputs[0] if program.kind == "loss" else np.concatenate(outputs)
            total = sums.astype(np.float64) if total is None else total + sums
        assert total is not None
        return total


def engine_name(backend: str) -> str:
    return f"executorch {version('executorch')}, {backend}"


def can_run(runtime_name: str) -> bool:
    """Whether the runtime in the wheel has a delegate."""
    return runtime_name in _runtime()._get_registered_backend_names()


def one_thread() -> None:
    """Programs run on one thread from now on, in this process."""
    _runtime()._unsafe_reset_threadpool(1)


def _runtime() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import executorch.kernels.quantized  # noqa: F401  # registers quantized embeddings
        from executorch.extension.pybindings import portable_lib

    return portable_lib


def _parts(program: Program, sequences: NDArray[np.integer]) -> Sequence[dict[str, torch.Tensor]]:
    """Inputs of as many runs as the positions of all sequences need."""
    tokens, targets = sequences[:, :-1], sequences[:, 1:]
    count, length = tokens.shape
    vocabulary = next(each.shape[0] for each in program.inputs if each.name == "logit_bias")
    parts = []
    for first in range(0, count, program.batch):
        here = tokens[first : first + program.batch]
        padded = np.zeros((program.batch, program.length), dtype=np.int64)
        padded[: len(here), :length] = here
        rows = (np.arange(len(here))[:, None] * program.length + np.arange(length)).reshape(-1)
        wanted = targets[first : first + program.batch].reshape(-1)
        for start in range(0, len(rows), program.positions):
            some = slice(start, start + program.positions)
            used = len(rows[some])
            weights = np.zeros(program.positions, dtype=np.float32)
            weights[:used] = 1 / targets.size
            parts.append(
                {
                    "tokens": torch.from_numpy(padded),
                    "rows": torch.from_numpy(_filled(rows[some], program.positions)),
                    "targets": torch.from_numpy(_filled(wanted[some], program.positions)),
                    "weights": torch.from_numpy(weights),
                    "logit_bias": torch.zeros(vocabulary),
                }
            )
    return parts


def _filled(values: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    filled = np.full(size, _NO_TARGET, dtype=np.int64)
    filled[: len(values)] = values
    return filled
