"""The shape of a bundle's work, from its manifest."""

from __future__ import annotations

from collections.abc import Iterator

import gguf

from device_bench.costs.program_runs import ProgramSize
from device_bench.costs.setting import LossPositions
from device_bench.costs.work import ModelShape
from exporters.manifest import Architecture, Manifest, Quantization

# Bytes of a weight in ExecuTorch's programs, without the scales of its groups.
_PROGRAM_BYTES: dict[Quantization, float] = {"f32": 4, "int8": 1, "16a8w": 1, "8da4w": 0.5,
                                             "16a4w": 0.5}  # fmt: skip
# Rows and columns of a tile of ggml's attention on CPUs (GGML_FA_TILE_Q).
_GGML_TILE = 64
# Products before the attention: of LLaMA's layers, of BERT's and of DistilBERT's.
_INPUTS = {"q_proj", "k_proj", "v_proj", "query", "key", "value", "q_lin", "k_lin", "v_lin"}


def model_shape(manifest: Manifest, loss_positions: LossPositions) -> ModelShape:
    """What decides the work of slopes with this bundle.

    A product with a matrix of n weights takes 2 · n FLOPs for each column. A pair of tokens takes
    4 · heads · head_size in attention, for its score and for its part of the value; ExecuTorch's
    programs compute those above the diagonal too, and mask them.
    Norms, biases and embeddings are read too, and too small to count.
    """
    shapes = manifest.architecture
    width = shapes.heads * shapes.head_size
    inputs = shapes.hidden_size * (width + 2 * shapes.key_value_heads * shapes.head_size)
    weights = inputs + width * shapes.hidden_size + _feed_forward_weights(shapes)
    lora = {"inputs": 0, "others": 0}
    for tensor in manifest.lora.tensors:
        lora["inputs" if tensor.module in _INPUTS else "others"] += tensor.size
    layer_bytes, output_bytes = (
        _bytes_per_weight(manifest, classes) for classes in (("attention", "feed_forward"), _OUTPUT)
    )
    return ModelShape(
        layers=shapes.layers,
        adapted_layers=manifest.lora.layers,
        layer_flops=2 * (weights + sum(lora.values()) / shapes.layers),
        input_flops=2 * (inputs + lora["inputs"] / shapes.layers),
        pair_flops=4 * width,
        attention_tile=0 if manifest.programs else _GGML_TILE,
        tangent_pairs=2,
        output_flops=2 * _output_weights(shapes),
        layer_weight_bytes=layer_bytes * weights,
        output_weight_bytes=output_bytes * _output_weights(shapes),
        lora_parameters=manifest.lora.parameters,
        # An encoder has one loss per example, whatever was asked for.
        loss_positions="last" if shapes.classes is not None else loss_positions,
        programs=tuple(
            ProgramSize(
                kind=program.kind,
                batch=program.batch,
                length=program.length,
                positions=program.positions,
                slots=program.slots,
            )
            for program in manifest.programs
        ),
    )


def _feed_forward_weights(shapes: Architecture) -> int:
    """Of a layer: with a gate in decoders, without one in encoders."""
    return (3 if shapes.classes is None else 2) * shapes.hidden_size * shapes.feed_forward_size


def _output_weights(shapes: Architecture) -> int:
    """Of the output matrix; of an encoder, those of its pooler and its classes."""
    if shapes.classes is None:
        return shapes.hidden_size * shapes.vocabulary_size
    return shapes.hidden_size * (shapes.hidden_size + shapes.classes)


# The output matrix may be that of the embeddings.
_OUTPUT = ("output", "embedding")


def _bytes_per_weight(manifest: Manifest, classes: tuple[str, ...]) -> float:
    """Of the first of these classes of tensors; of several types, the mean over tensors."""
    if manifest.format == "executorch":
        return _PROGRAM_BYTES[manifest.quantization]
    sizes = [size for name in classes for size in _sizes_of(manifest, name)]
    return sum(sizes) / len(sizes) if sizes else 4.0


def _sizes_of(manifest: Manifest, tensor_class: str) -> Iterator[float]:
    for each in manifest.tensor_types:
        if each.tensor_class == tensor_class:
            for name, count in each.types.items():
                weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
                yield from [size / weights] * count
