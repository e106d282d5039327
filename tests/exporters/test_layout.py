"""The order of LoRA parameters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporters.lora.layout import TARGET_MODULES, LoraLayout, parse_peft_name
from exporters.lora.peft_names import peft_name

layouts = st.builds(
    lambda layers, modules, rank: LoraLayout.from_shapes(
        {
            (layer, module, matrix): (rank, 5 + layer) if matrix == "A" else (3, rank)
            for layer in layers
            for module in modules
            for matrix in "AB"
        },
        rank=rank,
        alpha=2.0 * rank,
    ),
    st.sets(st.integers(0, 30), min_size=1, max_size=4),
    st.sets(st.sampled_from(TARGET_MODULES), min_size=1),
    st.integers(1, 4),
)


@given(layout=layouts)
def test_tensors_tile_the_vector_in_canonical_order(layout: LoraLayout) -> None:
    keys = [(t.layer, TARGET_MODULES.index(t.module), t.matrix) for t in layout.tensors]
    assert keys == sorted(keys)
    covered = np.concatenate([np.arange(t.offset, t.offset + t.size) for t in layout.tensors])
    assert np.array_equal(covered, np.arange(layout.parameters))


@given(layout=layouts, prefix=st.sampled_from(["", "base_model.model."]))
def test_flatten_undoes_unflatten_whatever_the_order(layout: LoraLayout, prefix: str) -> None:
    flat = np.random.default_rng(0).random(layout.parameters, dtype=np.float32)
    named = [
        (peft_name("llama", t).replace("base_model.model.", prefix), values)
        for t, values in layout.unflatten(flat).items()
    ]
    random.Random(0).shuffle(named)
    assert np.array_equal(layout.flatten(dict(named)), flat)


@given(layout=layouts)
def test_names_are_unique_and_parse_back(layout: LoraLayout) -> None:
    assert len({t.gguf_name for t in layout.tensors}) == len(layout.tensors)
    for tensor in layout.tensors:
        name = peft_name("llama", tensor)
        assert parse_peft_name(name) == (tensor.layer, tensor.module, tensor.matrix)
        with_adapter_name = name.replace(".weight", ".default.weight")
        assert parse_peft_name(with_adapter_name) == parse_peft_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.rotary_emb.lora_A.weight",
        "model.embed_tokens.lora_A.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight.extra",
    ],
)
def test_other_names_are_not_lora(name: str) -> None:
    assert parse_peft_name(name) is None


@given(layout=layouts, shift=st.integers(1, 100))
def test_a_layout_with_a_gap_is_refused(layout: LoraLayout, shift: int) -> None:
    description = layout.model_dump()
    description["tensors"][-1]["offset"] += shift
    with pytest.raises(ValidationError, match="starts at"):
        LoraLayout.model_validate(description)
