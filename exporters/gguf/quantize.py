"""llama.cpp's own quantizer."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import llama_cpp

from exporters.errors import ExportError
from exporters.gguf.llama_log import captured_errors
from exporters.manifest import GgufQuantization

_FILE_TYPES: dict[GgufQuantization, int] = {
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}
_BUFFER_BYTES = 256 << 20  # tensor rows in memory at once


def quantize(source: Path, destination: Path, quantization: GgufQuantization) -> None:
    """Quantizes a GGUF's matrices; `quantization` is one of q8_0, q4_0, q4_k_m.

    llama.cpp chooses the type per tensor: the output matrix gets more bits than the rest, and a
    matrix whose rows do not divide into blocks falls back to a type that fits.

    Raises:
        ExportError: llama.cpp failed; the message carries its reason.
    """
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = _FILE_TYPES[quantization]
    parameters.nthread = os.cpu_count() or 1
    parameters.max_buf_size = _BUFFER_BYTES
    with captured_errors() as errors:
        status = llama_cpp.llama_model_quantize(
            os.fsencode(source), os.fsencode(destination), ctypes.byref(parameters)
        )
    if status != 0:
        raise ExportError(f"llama.cpp could not quantize to {quantization}: {' '.join(errors)}")
