"""llama.cpp tokenizes text by the bundle's metadata as the Hugging Face tokenizer does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from exporters.errors import ContractError, ExportError
from exporters.gguf.export import LoraRequest, export_gguf
from exporters.gguf.llama_engine import LlamaEngine
from exporters.gguf.vocabulary import vocabulary_of
from exporters.manifest import Bundle
from exporters.tokenizer import load_tokenizer
from tests.exporters.models import TEXT, VOCABULARY_SIZE, make_tokenizer, random_llama

TEXTS = (*TEXT, "Hello world  two   spaces", "123 45 it's 東京 🙂 ok", "a\n\nb\tc", "x")


def export(model: Path, out: Path) -> Bundle:
    return export_gguf(str(model), out, quantization="f32", lora=LoraRequest(), parity_directions=0)


def assert_same_tokens(bundle: Bundle, texts: tuple[str, ...] = TEXTS) -> None:
    tokenizer = load_tokenizer(bundle)
    with LlamaEngine(bundle.base, tokens=1) as engine:
        for text in texts:
            assert engine.tokenize(text) == tokenizer(text).input_ids, text


@pytest.mark.parametrize(
    ("kind", "described_as"),
    [
        ("sentencepiece", "sentencepiece"),
        ("llama3", "bpe"),
        ("qwen2", "bpe"),
        ("smollm", "bpe"),
        ("gpt2", "bpe"),
    ],
)
def test_every_kind_of_tokenizer(kind: str, described_as: str, tmp_path: Path) -> None:
    bundle = export(random_llama(tmp_path / "model", tokenizer=kind), tmp_path / "bundle")
    assert bundle.manifest.tokenizer_kind == described_as
    assert_same_tokens(bundle)
    again = export(bundle.base, tmp_path / "again")
    assert_same_tokens(again, TEXTS[:2])


@pytest.fixture(scope="module")
def tokenizers(
    llama_bundle: Bundle,
) -> Iterator[tuple[LlamaEngine, PreTrainedTokenizerFast]]:
    """llama.cpp's and Hugging Face's tokenizer of the same bundle."""
    with LlamaEngine(llama_bundle.base, tokens=1) as engine:
        yield engine, load_tokenizer(llama_bundle)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0▁<"), max_size=40))
def test_any_text(text: str, tokenizers: tuple[LlamaEngine, PreTrainedTokenizerFast]) -> None:
    engine, tokenizer = tokenizers
    # At the start of a text llama.cpp always puts a space; Hugging Face not before another one.
    text = text.lstrip(" ")
    assert engine.tokenize(text) == tokenizer(text).input_ids


def test_a_sentencepiece_model_file(tmp_path: Path, shared_data: Path) -> None:
    model = random_llama(tmp_path / "model", vocab_size=32000)
    (model / "tokenizer.json").unlink()
    shutil.copy(shared_data / "llama2_tokenizer" / "tokenizer.model", model)
    (model / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False})
    )
    bundle = export(model, tmp_path / "bundle")
    assert load_tokenizer(bundle)("Hello").input_ids == [1, 15043]
    assert_same_tokens(bundle)


def test_special_tokens_are_described(tmp_path: Path) -> None:
    vocabulary = vocabulary_of(make_tokenizer("llama3"), VOCABULARY_SIZE)
    assert vocabulary.special_ids == {"bos": 1, "eos": 2}
    assert vocabulary.types[1].name == "CONTROL"
    assert vocabulary.types[-1].name == "UNUSED"
    assert not vocabulary.add_bos


def test_a_tokenizer_larger_than_the_model_is_refused() -> None:
    with pytest.raises(ExportError, match="only 300"):
        vocabulary_of(make_tokenizer("gpt2"), 300)


def test_a_model_without_tokenizer_is_refused(tmp_path: Path) -> None:
    model = random_llama(tmp_path / "model")
    for path in model.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ExportError, match="tokenizer"):
        export(model, tmp_path / "bundle")


def test_a_damaged_tokenizer_in_a_bundle_is_reported(tmp_path: Path) -> None:
    bundle = export(random_llama(tmp_path / "model"), tmp_path / "bundle")
    (bundle.folder / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ContractError, match="tokenizer"):
        load_tokenizer(bundle)
