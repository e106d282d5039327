"""MODEL and LoRA to a GGUF bundle."""

from __future__ import annotations

import gc
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from exporters.architecture import GGUF_ARCHITECTURES
from exporters.bundle_folder import Progress, describe, refuse_foreign_folder
from exporters.durable_files import folder_replaced_atomically
from exporters.gguf.adapter import write_adapter
from exporters.gguf.metadata import write_metadata
from exporters.gguf.parity import EPSILONS, measure_parity
from exporters.gguf.quantize import quantize
from exporters.gguf.tensor_types import tensor_types_of
from exporters.gguf.vocabulary import Vocabulary, vocabulary_of
from exporters.gguf.weights import MatrixType, checkpoint_type, write_weights
from exporters.lora.attach import attach_lora
from exporters.lora.layout import LoraLayout
from exporters.lora.peft_adapter import PeftAdapter, read_peft_adapter
from exporters.lora.request import LoraRequest
from exporters.manifest import MANIFEST_NAME, Bundle, GgufQuantization, Manifest, Parity
from exporters.model_source import ModelSource, find_model
from exporters.parity_reference import Reference, measure_reference, random_sequences
from exporters.tokenizer import save_tokenizer
from exporters.torch_reference import TorchReference

__all__ = ["LoraRequest", "export_gguf"]

_BASE_NAME = "base.gguf"
_ADAPTER_NAME = "adapter.gguf"
_MAKERS = ("torch", "transformers", "peft", "gguf", "llama-cpp-python", "numpy")


def export_gguf(
    model: str,
    out: Path,
    *,
    quantization: GgufQuantization = "q4_0",
    lora: LoraRequest,
    seed: int = 0,
    parity_directions: int = 8,
    on_progress: Progress | None = None,
) -> Bundle:
    """Writes a bundle of a LLaMA-class model and a LoRA adapter.

    The bundle appears at `out` whole or not at all; an older bundle there is replaced.

    Args:
        model: a Hugging Face folder, a hub id, or a LLaMA or Qwen2 GGUF file.
        seed: of a fresh adapter's A matrices, and of the tokens and directions of the parity
            measurement.
        parity_directions: directions in the slope cosine; 0 measures the loss alone.

    Raises:
        UnsupportedModelError: the model is not of a class that the runner implements.
        ExportError: anything else that keeps the bundle from being made.
    """
    report = on_progress or (lambda stage, done, total: None)
    refuse_foreign_folder(out)
    source = find_model(model)
    saved = None
    if lora.peft_folder is not None:
        saved = read_peft_adapter(lora.peft_folder, source.architecture)
    else:
        lora.check_fresh(source.architecture.layers)
    tokenizer = source.load_tokenizer()
    vocabulary = vocabulary_of(tokenizer, source.architecture.vocabulary_size)
    with folder_replaced_atomically(out) as folder:
        base, adapter = folder / _BASE_NAME, folder / _ADAPTER_NAME
        unquantized = base if quantization in ("f32", "f16") else folder / "unquantized.gguf"
        layout, values, reference = _torch_stage(
            source, vocabulary, unquantized, quantization, lora, saved, seed,
            parity_directions, report,
        )  # fmt: skip
        gc.collect()  # the PyTorch model, before llama.cpp maps the artifact
        if unquantized != base:
            report("quantize", 0, 1)
            quantize(unquantized, base, quantization)
            unquantized.unlink()
            report("quantize", 1, 1)
        write_adapter(adapter, source.architecture, layout, values)
        parity = measure_parity(
            reference,
            base,
            source.architecture,
            layout,
            values,
            epsilon=EPSILONS[quantization],
            on_progress=lambda done, total: report("parity: artifact", done, total),
        )
        _write_manifest(folder, source, vocabulary, quantization, layout, tokenizer, parity)
    return Bundle(out)


def _torch_stage(
    source: ModelSource,
    vocabulary: Vocabulary,
    path: Path,
    quantization: GgufQuantization,
    lora: LoraRequest,
    saved: PeftAdapter | None,
    seed: int,
    directions: int,
    report: Progress,
) -> tuple[LoraLayout, NDArray[np.float32], Reference]:
    """All that needs the PyTorch model, which is gone when this returns.

    Writes the unquantized GGUF; returns the LoRA and the numbers to compare the artifact with.
    """
    report("load", 0, 1)
    model = source.load_model()
    report("load", 1, 1)
    matrix_types = {"f32": MatrixType.F32, "f16": MatrixType.F16}
    writer = gguf.GGUFWriter(path, GGUF_ARCHITECTURES[source.architecture.family])
    try:
        name = Path(source.name).name
        write_metadata(writer, source.architecture, source.config.rope_parameters, name=name)
        vocabulary.write(writer)
        write_weights(
            writer,
            model,
            source.architecture,
            matrix_types.get(quantization, checkpoint_type(model)),
            lambda done, total: report("write", done, total),
        )
    finally:
        writer.close()
    peft_model, layout, values = attach_lora(model, lora, saved, seed)
    architecture = source.architecture
    sequences = random_sequences(architecture.vocabulary_size, architecture.context_length, seed)
    reference = measure_reference(
        TorchReference(peft_model, layout, sequences),
        sequences,
        layout,
        directions=directions,
        seed=seed,
        on_progress=lambda done, total: report("parity: reference", done, total),
    )
    return layout, values, reference


def _write_manifest(
    folder: Path,
    source: ModelSource,
    vocabulary: Vocabulary,
    quantization: GgufQuantization,
    layout: LoraLayout,
    tokenizer: PreTrainedTokenizerFast,
    parity: Parity,
) -> None:
    files = [
        describe(folder, folder / _BASE_NAME, "base"),
        describe(folder, folder / _ADAPTER_NAME, "adapter"),
        *(describe(folder, path, "tokenizer") for path in save_tokenizer(tokenizer, folder)),
    ]
    Manifest(
        source=source.name,
        format="gguf",
        quantization=quantization,
        architecture=source.architecture,
        tensor_types=tensor_types_of(folder / _BASE_NAME),
        lora=layout,
        files=tuple(files),
        tokenizer_kind=vocabulary.kind,
        parity=parity,
        versions={name: version(name) for name in _MAKERS},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    ).write(folder / MANIFEST_NAME)
