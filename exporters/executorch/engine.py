"""A bundle's programs run on this machine by the runtime in ExecuTorch's wheel."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.errors import ExportError
from exporters.executorch.batches import Inputs
from exporters.executorch.lower import PROGRAM_NAME, WEIGHTS_NAME
from exporters.executorch.quiet import quiet_imports
from exporters.manifest import Program


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

    def run(self, program: Program, inputs: Inputs) -> list[NDArray[Any]]:
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

    def total(
        self, program: Program, runs: Sequence[Inputs], lora: dict[str, NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        """What a program sums, over several runs.

        Args:
            runs: all inputs but those that hold LoRA values.
            lora: those.

        Returns:
            float64: the losses of a `loss` program [K]; the loss and the slopes of a `tangent`
            program [1 + K].
        """
        values = {name: torch.from_numpy(value) for name, value in lora.items()}
        total: NDArray[np.float64] = np.zeros(program.slots + (program.kind == "tangent"))
        for inputs in runs:
            outputs = self.run(program, inputs | values)
            total += outputs[0] if program.kind == "loss" else np.concatenate(outputs)
        return total


def engine_name(backend: str) -> str:
    return f"executorch {version('executorch')}, {backend}"


def can_run(runtime_name: str | None) -> bool:
    """Whether the runtime in the wheel has a delegate, and that finds what it needs itself."""
    if runtime_name is None:
        return False
    runtime = _runtime()
    if runtime_name not in runtime._get_registered_backend_names():
        return False
    with quiet_imports():  # delegates tell where they looked for their libraries
        return bool(runtime._is_available(runtime_name))


def one_thread() -> None:
    """Programs run on one thread from now on, in this process."""
    _runtime()._unsafe_reset_threadpool(1)


def _runtime() -> Any:
    with quiet_imports():
        import executorch.kernels.quantized  # noqa: F401  # registers quantized embeddings
        from executorch.extension.pybindings import portable_lib

        portable_lib._get_operator_names()  # the first call looks the processor over
    return portable_lib
