"""A GGUF file as the model to export."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast

from exporters.errors import ExportError, UnsupportedModelError

_ROPE_FREQUENCIES = "rope_freqs.weight"
# The tensors that transformers loads for these architectures; it would drop any other silently.
_TENSORS = {
    "llama": re.compile(
        r"(token_embd|output_norm|output|rope_freqs"
        r"|blk\.\d+\.(attn_norm|ffn_norm|attn_(q|k|v|output)|ffn_(gate|up|down)))\.weight"
    ),
    "qwen2": re.compile(
        r"(token_embd|output_norm|output"
        r"|blk\.\d+\.(attn_norm|ffn_norm|attn_(q|k|v|output)|ffn_(gate|up|down)))\.weight"
        r"|blk\.\d+\.attn_(q|k|v)\.bias"
    ),
}


class GgufSource:
    """A readable GGUF file of a LLaMA-class model.

    Raises:
        UnsupportedModelError: it is of another architecture, or has tensors that plain models of
            its architecture lack.
        ExportError: it is not a whole GGUF file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._reader = gguf.GGUFReader(path)
            self._metadata = {key: field.contents() for key, field in self._fields.items()}
        except Exception as error:  # the reader raises whatever a malformed file leads to
            raise ExportError(f"this is not a readable GGUF file: {error}", file=path) from error
        architecture = self._metadata.get("general.architecture")
        if architecture not in _TENSORS or self._metadata.get("general.type") == "adapter":
            kind = self._metadata.get("general.type", "model")
            raise UnsupportedModelError(
                f"a GGUF {kind} of architecture {architecture!r} cannot be exported",
                remedy=f"export a model of architecture {' or '.join(_TENSORS)}",
                file=path,
            )
        self._prefix = architecture
        self._refuse_unread_parts()

    @property
    def frequency_factors(self) -> NDArray[np.float32] | None:
        """float32 [head_size / 2]: what llama3 rope scaling divides the rotary frequencies by."""
        for tensor in self._reader.tensors:
            if tensor.name == _ROPE_FREQUENCIES:
                return np.array(tensor.data, dtype=np.float32)
        return None

    def load_config(self) -> PretrainedConfig:
        """transformers' reading of the metadata, mended where it reads too little."""
        config = AutoConfig.from_pretrained(self.path.parent, gguf_file=self.path.name)
        if not self._is_token(config.pad_token_id):
            config.pad_token_id = None
        if self._key("rope.scaling.type") == "linear":
            config.rope_parameters = {
                **config.rope_parameters,
                "rope_type": "linear",
                "factor": self._key("rope.scaling.factor"),
            }
        return config

    def load_tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer that the metadata describes.

        Some files mark an absent special token by an id outside the vocabulary, on which
        transformers fails, so it reads a copy of the metadata without those.
        """
        with tempfile.TemporaryDirectory(prefix="fwdllm-") as folder:
            writer = gguf.GGUFWriter(Path(folder) / "tokenizer.gguf", self._prefix)
            for key, field in self._fields.items():
                if key.endswith("_token_id") and not self._is_token(self._metadata[key]):
                    continue
                if key != "general.architecture":  # the writer has added it already
                    item_type = field.types[-1] if len(field.types) > 1 else None
                    writer.add_key_value(key, self._metadata[key], field.types[0], item_type)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            writer.close()
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file="tokenizer.gguf")
        tokenizer.name_or_path = str(self.path)
        tokenizer.init_kwargs["name_or_path"] = str(self.path)
        return tokenizer

    @property
    def _fields(self) -> dict[str, gguf.ReaderField]:
        return {
            key: field for key, field in self._reader.fields.items() if not key.startswith("GGUF.")
        }

    def _key(self, name: str) -> Any:
        return self._metadata.get(f"{self._prefix}.{name}")

    def _is_token(self, token: int | None) -> bool:
        return token is not None and 0 <= token < len(self._metadata["tokenizer.ggml.tokens"])

    def _refuse_unread_parts(self) -> None:
        refusal = None
        for tensor in self._reader.tensors:
            if not _TENSORS[self._prefix].fullmatch(tensor.name):
                refusal = f"the tensor {tensor.name!r}"
                break
        if self._key("rope.scaling.type") not in (None, "none", "linear"):
            refusal = f"{self._key('rope.scaling.type')!r} rope scaling"
        key_length, rotary = self._key("attention.key_length"), self._key("rope.dimension_count")
        if key_length and rotary and key_length != rotary:
            refusal = f"{rotary} rotary dimensions in heads of {key_length}"
        if refusal:
            raise UnsupportedModelError(
                f"this GGUF model has {refusal}, which is not supported",
                remedy="export its Hugging Face version, or a plain LLaMA or Qwen2 model",
                file=self.path,
            )
        if "tokenizer.ggml.tokens" not in self._metadata:
            raise ExportError("this GGUF file has no vocabulary", file=self.path)
