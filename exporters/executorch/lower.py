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
)
from executorch.exir._serialize.data_serializer import DataEntry, DataPayload
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer
from torch import nn
from torch.export import ExportedProgram

from exporters.errors import ExportError
from exporters.executorch.backends.backend import Backend
from exporters.executorch.quiet import quiet_python
from exporters.manifest import Quantization

PROGRAM_NAME = "program.pte"
WEIGHTS_NAME = "weights.ptd"
_LONGEST_CAUSE = 300  # characters
_WEIGHTS_TAG = WEIGHTS_NAME.removesuffix(".ptd")


@dataclass(frozen=True)
class Method:
    """A module to become a method of the program.

    Attributes:
        inputs: of its fixed shapes.
        calibration: inputs with values as they occur, for backends that choose the ranges of
            quantized activations before anything runs.
    """

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    calibration: tuple[tuple[torch.Tensor, ...], ...] = ()


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
            lowered: EdgeProgramManager = backend.lower(traced)
            _move_to_weights_file(lowered)
            return lowered.to_executorch(
                ExecutorchBackendConfig(
                    external_constants=_file_of,
                    do_quant_fusion_and_const_prop=True,  # look-ups in quantized embeddings
                )
            )
        except Exception as error:  # compilers raise whatever they meet
            raise ExportError(
                f"the programs cannot be lowered for {backend.name}: {_first_cause(error)}"
            ) from error


def _first_cause(error: BaseException) -> str:
    """Compilers' passes wrap what went wrong in errors about themselves."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:_LONGEST_CAUSE]}"


def write(program: ExecutorchProgramManager, folder: Path) -> None:
    """Writes PROGRAM_NAME and WEIGHTS_NAME.

    Delegates that compile weights into the program leave nothing for the weights file. It is
    written all the same, so that programs of all backends load alike; as ExecuTorch refuses files
    without an entry, with one of a single byte.
    """
    with quiet_python():
        with (folder / PROGRAM_NAME).open("wb") as file:
            program.write_to_file(file)
        program.write_tensor_data_to_file(str(folder))
    if not (folder / WEIGHTS_NAME).exists():
        nothing = DataPayload(buffers=[b"\0"], named_data={"nothing": DataEntry(0, 1, None)})
        with (folder / WEIGHTS_NAME).open("wb") as file:
            FlatTensorSerializer().serialize(nothing).write_to_file(file)


def _trace(method: Method, backend: Backend, quantization: Quantization) -> ExportedProgram:
    traced = torch.export.export(method.module.eval(), method.inputs, strict=False)
    quantizer = backend.quantizer(quantization)
    if quantizer is None:
        return traced
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(traced.module(), quantizer)
    for inputs in method.calibration or (method.inputs,):
        prepared(*inputs)
    return torch.export.export(convert_pt2e(prepared), method.inputs, strict=False)


def _move_to_weights_file(lowered: EdgeProgramManager) -> None:
    """Takes the delegates' constants out of the program.

    ExecuTorch would have each backend tag its constants for a file of their own, which not all of
    them do; at run time it looks them up by their hashes in both files alike.
    """
    store = lowered._named_data_store
    if not store.pte_data:
        return
    store.external_data.setdefault(_WEIGHTS_TAG, {}).update(store.pte_data)
    store.pte_data.clear()


def _file_of(constant: torch.fx.Node) -> str | None:
    """The file that holds a constant which no delegate took; None: the program itself.

    Weights of the model have one name in all methods and go to their common file. Masks and
    tables have one too, but differ from size to size.
    """
    return _WEIGHTS_TAG if constant.name.startswith(("p_model_", "b_model_")) else None
