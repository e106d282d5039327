"""PyTorch programs to one `.pte` and the weights file that its methods share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from executorch.exir import (
    EdgeProgramManager,
    ExecutorchBackendConfig,
    ExecutorchProgramManager,
    to_edge_transform_and_lower,
)
from torch import nn
from torch.export import ExportedProgram

from exporters.errors import ExportError
from exporters.executorch.backends.backend import Backend
from exporters.executorch.quiet import quiet_python
from exporters.manifest import Quantization

PROGRAM_NAME = "program.pte"
WEIGHTS_NAME = "weights.ptd"
_WEIGHTS_TAG = WEIGHTS_NAME.removesuffix(".ptd")


@dataclass(frozen=True)
class Method:
    """A module to become a method of the program, with inputs of its fixed shapes."""

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]


def lower(
    methods: Mapping[str, Method], backend: Backend, quantization: Quantization
) -> ExecutorchProgramManager:
    """Traces the methods, hands the backend what it takes of them, and plans the rest's memory.

    Raises:
        ExportError: tracing or the backend's compiler failed.
    """
    with quiet_python(), torch.no_grad():
        try:
            traced = {
                name: _trace(method, backend, quantization) for name, method in methods.items()
            }
            lowered: EdgeProgramManager = to_edge_transform_and_lower(
                traced,
                partitioner=backend.partitioners(),
                compile_config=backend.compile_config(),
            )
            _move_to_weights_file(lowered)
            return lowered.to_executorch(
                ExecutorchBackendConfig(
                    external_constants=_file_of,
                    do_quant_fusion_and_const_prop=True,  # look-ups in quantized embeddings
                )
            )
        except Exception as error:  # compilers raise whatever they meet
            raise ExportError(
                f"the programs cannot be lowered for {backend.name}: "
                f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
            ) from error


def write(program: ExecutorchProgramManager, folder: Path) -> None:
    """Writes PROGRAM_NAME and WEIGHTS_NAME."""
    with quiet_python():
        with (folder / PROGRAM_NAME).open("wb") as file:
            program.write_to_file(file)
        program.write_tensor_data_to_file(str(folder))


def _trace(method: Method, backend: Backend, quantization: Quantization) -> ExportedProgram:
    traced = torch.export.export(method.module.eval(), method.inputs, strict=False)
    quantizer = backend.quantizer(quantization)
    if quantizer is None:
        return traced
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(traced.module(), quantizer)
    prepared(*method.inputs)
    return torch.export.export(convert_pt2e(prepared), method.inputs, strict=False)


def _move_to_weights_file(lowered: EdgeProgramManager) -> None:
    """Takes the delegates' constants out of the program.

    ExecuTorch would have each backend tag its constants for a file of their own, which not all of
    them do; at run time it looks them up by their hashes in both files alike.
    """
    store = lowered._named_data_store
    store.external_data.setdefault(_WEIGHTS_TAG, {}).update(store.pte_data)
    store.pte_data.clear()


def _file_of(constant: torch.fx.Node) -> str | None:
    """The file that holds a constant which no delegate took; None: the program itself.

    Weights of the model have one name in all methods and go to their common file. Masks and
    tables have one too, but differ from size to size.
    """
    return _WEIGHTS_TAG if constant.name.startswith(("p_model_", "b_model_")) else None
