"""What is exportable is decided before any weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import huggingface_hub.constants
import pytest

from exporters.errors import ExportError, UnsupportedModelError
from exporters.model_source import find_model

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 4096,
}


def folder_with(path: Path, **fields: Any) -> str:
    """A Hugging Face folder with a configuration and no weights."""
    (path / "config.json").write_text(json.dumps(LLAMA | fields))
    return str(path)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"model_type": "qwen3"}, "qwen3"),
        ({"model_type": "mixtral"}, "mixtral"),
        ({"model_type": "not-yet-invented"}, "not-yet-invented"),
        ({"model_type": None}, "None"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
        (
            {"rope_scaling": {"rope_type": "longrope", "short_factor": [1] * 8, "long_factor": []}},
            "longrope",
        ),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized"),
        ({"num_key_value_heads": 3}, "key-value heads"),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8}, "sliding"),
        ({"model_type": "qwen2", "head_dim": 32}, "head size"),
        (
            {
                "model_type": "qwen2",
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                },
            },
            "llama3",
        ),
    ],
)
def test_unsupported_models_are_refused_by_name(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=reason):
        find_model(folder_with(tmp_path, **fields))


def test_a_sliding_window_caps_the_context(tmp_path: Path) -> None:
    source = find_model(folder_with(tmp_path, model_type="mistral", sliding_window=1024))
    assert source.architecture.context_length == 1024


def test_paths_without_a_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no config\.json"):
        find_model(str(tmp_path))
    with pytest.raises(ExportError, match="no such GGUF"):
        find_model(str(tmp_path / "absent.gguf"))
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(ExportError, match="configuration"):
        find_model(str(tmp_path))


def test_a_hub_id_out_of_reach_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ExportError, match="fwdllm-tests/absent") as refusal:
        find_model("fwdllm-tests/absent")
    assert "network" in refusal.value.remedy


def gguf_file(path: Path, architecture: str = "llama", **extra: Any) -> str:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_token_list(["<unk>", "a"])
    for key, value in extra.items():
        getattr(writer, key)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


@pytest.mark.parametrize(
    ("architecture", "extra", "reason"),
    [
        ("gemma3", {}, "gemma3"),
        ("llama", {"add_type": "adapter"}, "adapter"),
        ("llama", {"add_rope_scaling_type": gguf.RopeScalingType.YARN}, "yarn"),
    ],
)
def test_unsupported_gguf_files_are_refused_by_name(
    tmp_path: Path, architecture: str, extra: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=reason):
        find_model(gguf_file(tmp_path / "model.gguf", architecture, **extra))


def test_a_malformed_gguf_file_is_refused(tmp_path: Path) -> None:
    whole = Path(gguf_file(tmp_path / "whole.gguf")).read_bytes()
    for content in (b"", b"GGUF", b"not a model at all" * 9, whole[: len(whole) // 2]):
        path = tmp_path / "broken.gguf"
        path.write_bytes(content)
        with pytest.raises(ExportError, match="GGUF"):
            find_model(str(path))
