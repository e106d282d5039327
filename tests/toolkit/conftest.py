"""A tiny random model with its tokenizer, exported; data that it can learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from exporters.gguf.export import LoraRequest, export_gguf
from exporters.manifest import Bundle

TEXTS = (
    "the striker scored a goal and the team won the match",
    "shares of the bank fell and the investor sold the stock",
    "World Sports Business Science A B C D Topic: The sports of business world",
)


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Devices of a run evaluate at the same time; matrices this small gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this machine keeps for its user is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few words as single tokens."""
    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    byte_level.train_from_iterator(
        TEXTS * 4,
        trainers.BpeTrainer(
            vocab_size=384,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


@pytest.fixture(scope="session")
def bundle(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A LLaMA of two layers with rank-2 LoRA on its query and value projections, in float32."""
    folder = tmp_path_factory.mktemp("model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
                initializer_range=0.2,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    model.save_pretrained(folder / "hf")
    tokenizer.save_pretrained(folder / "hf")
    return export_gguf(
        str(folder / "hf"),
        folder / "bundle",
        quantization="f32",
        lora=LoraRequest(rank=2, alpha=4, targets=("q_proj", "v_proj")),
        parity_directions=0,
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two topics in a CSV file with a header."""
    path = tmp_path / "topics.csv"
    rows = [
        f"{label},{title},{text}"
        for number in range(24)
        for label, title, text in (
            ("sports", f"Match {number}", "The team won the match."),
            ("business", f"Stock {number}", "The investor sold the stock."),
        )
    ]
    path.write_text("\n".join(["label,title,text", *rows]) + "\n")
    return path
