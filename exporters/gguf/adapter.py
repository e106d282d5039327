"""LoRA values as an adapter GGUF that llama.cpp and the native runner load.

The order of the file's tensors is the LoRA layout.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from exporters.architecture import GGUF_ARCHITECTURES
from exporters.durable_files import replaced_atomically
from exporters.errors import ContractError
from exporters.gguf.rotary_rows import row_order
from exporters.lora.layout import LoraLayout, LoraTensor
from exporters.manifest import Architecture


def write_adapter(
    path: Path, architecture: Architecture, layout: LoraLayout, values: NDArray[np.float32]
) -> None:
    """Writes the flat vector `values`, float32 [parameters], as a LoRA GGUF, atomically."""
    with replaced_atomically(path) as temporary:
        writer = gguf.GGUFWriter(temporary, GGUF_ARCHITECTURES[architecture.family])
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, layout.alpha)
        for tensor, matrix in layout.unflatten(values).items():
            rows = _rows(architecture, tensor)
            stored = matrix if rows is None else matrix[rows]
            writer.add_tensor(tensor.gguf_name, np.ascontiguousarray(stored, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def read_adapter_values(
    path: Path, architecture: Architecture, layout: LoraLayout
) -> NDArray[np.float32]:
    """The flat vector, float32 [parameters], of an adapter that `write_adapter` wrote.

    Raises:
        ContractError: the file is not a GGUF adapter, or not of this layout.
    """
    try:
        reader = gguf.GGUFReader(path)
        kind = reader.fields["general.type"].contents()
        alpha = reader.fields[gguf.Keys.Adapter.LORA_ALPHA].contents()
    except Exception as error:  # the reader raises whatever a malformed file leads to
        raise ContractError(f"this is not a LoRA adapter GGUF: {error}", file=path) from error
    stored = {tensor.name: tensor for tensor in reader.tensors}
    expected = {tensor.gguf_name: tensor.shape for tensor in layout.tensors}
    shapes = {name: tuple(int(n) for n in reversed(t.shape)) for name, t in stored.items()}
    if kind != "adapter" or alpha != np.float32(layout.alpha) or shapes != expected:
        raise ContractError(
            "the adapter's tensors or alpha are not those of the bundle's LoRA layout",
            remedy="use the bundle that the adapter was made for",
            file=path,
        )
    values = np.empty(layout.parameters, dtype=np.float32)
    for tensor in layout.tensors:
        matrix = values[tensor.slice].reshape(tensor.shape)
        rows = _rows(architecture, tensor)
        matrix[slice(None) if rows is None else rows] = stored[tensor.gguf_name].data
    return values


def _rows(architecture: Architecture, tensor: LoraTensor) -> NDArray[np.intp] | None:
    return row_order(architecture, tensor.module) if tensor.matrix == "B" else None
