"""The base model's weights as GGUF tensors, written one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from exporters.architecture import GGUF_ARCHITECTURES
from exporters.errors import ExportError
from exporters.gguf.rotary_rows import row_order
from exporters.manifest import Architecture

MatrixType = gguf.GGMLQuantizationType
_FILE_TYPES = {
    MatrixType.F32: gguf.LlamaFileType.ALL_F32,
    MatrixType.F16: gguf.LlamaFileType.MOSTLY_F16,
    MatrixType.BF16: gguf.LlamaFileType.MOSTLY_BF16,
}
_TORCH_TYPES = {
    MatrixType.F32: torch.float32,
    MatrixType.F16: torch.float16,
    MatrixType.BF16: torch.bfloat16,
}


def checkpoint_type(model: PreTrainedModel) -> MatrixType:
    """The GGUF type that holds the checkpoint's matrices without loss and without waste."""
    exact = {torch.float16: MatrixType.F16, torch.bfloat16: MatrixType.BF16}
    return exact.get(model.dtype, MatrixType.F32)


def write_weights(
    writer: gguf.GGUFWriter,
    model: PreTrainedModel,
    architecture: Architecture,
    matrix_type: MatrixType,
    on_progress: Callable[[int, int], None],
) -> None:
    """Writes the whole file: the metadata added so far, then every tensor.

    Matrices are stored as `matrix_type` (F32, F16 or BF16), vectors as F32; beyond the model,
    memory holds one tensor at a time.

    Raises:
        ExportError: a weight is not finite, or too large for F16.
    """
    tensors = list(_tensors(model, architecture))
    writer.add_file_type(_FILE_TYPES[matrix_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor in tensors:
        stored = matrix_type if tensor.values.dim() == 2 else MatrixType.F32
        writer.add_tensor_info(
            tensor.name,
            tensor.values.shape,
            np.dtype(np.float32),
            tensor.values.numel() * _TORCH_TYPES[stored].itemsize,
            raw_dtype=stored,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, tensor in enumerate(tensors):
        on_progress(done, len(tensors))
        stored = matrix_type if tensor.values.dim() == 2 else MatrixType.F32
        writer.write_tensor_data(tensor.stored_as(_TORCH_TYPES[stored]))
    on_progress(len(tensors), len(tensors))


@dataclass(frozen=True)
class _Tensor:
    """A tensor by its GGUF name, with the model's own values (not a copy)."""

    name: str
    values: torch.Tensor
    rows: NDArray[np.intp] | None

    def stored_as(self, dtype: torch.dtype) -> NDArray:
        """The values in file order; bfloat16, which numpy lacks, as uint16 of the same bits."""
        values = self.values.detach()
        if self.rows is not None:
            values = values[torch.from_numpy(self.rows)]
        values = values.to(dtype).contiguous()
        # The extremes carry any NaN or infinity, and need no memory beside the tensor.
        if not torch.isfinite(torch.stack(torch.aminmax(values))).all():
            raise ExportError(
                f"the weight {self.name} is not finite in {str(dtype).removeprefix('torch.')}",
                remedy="export in f32, or repair the checkpoint",
            )
        return (values.view(torch.uint16) if dtype == torch.bfloat16 else values).numpy()


def _tensors(model: PreTrainedModel, architecture: Architecture) -> Iterator[_Tensor]:
    kind = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}
    gguf_architecture = kind[GGUF_ARCHITECTURES[architecture.family]]
    names = gguf.get_tensor_name_map(gguf_architecture, architecture.layers)
    if architecture.rope_scaling == "llama3":
        yield _Tensor("rope_freqs.weight", _frequency_factors(model, architecture), None)
    for name, values in model.named_parameters():  # names tied weights once
        module = name.split(".")[-2]
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if gguf_name is None:
            raise ExportError(f"the weight {name} has no place in a GGUF")
        yield _Tensor(gguf_name, values, row_order(architecture, module))


def _frequency_factors(model: PreTrainedModel, architecture: Architecture) -> torch.Tensor:
    """[head_size / 2]: unscaled rotary frequencies over the model's own."""
    exponents = torch.arange(0, architecture.head_size, 2, dtype=torch.float64)
    assert architecture.rope_theta is not None
    unscaled = architecture.rope_theta ** (-exponents / architecture.head_size)
    return unscaled / model.model.rotary_emb.inv_freq.double()
