"""Small models share processors badly: one torch thread keeps these tests fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from exporters.gguf.export import LoraRequest, export_gguf
from exporters.manifest import Bundle
from tests.exporters.models import random_llama


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaMA as a Hugging Face folder."""
    return random_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def llama_bundle(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """That model as an f32 bundle with a LoRA on q and down."""
    return export_gguf(
        str(llama_folder),
        tmp_path_factory.mktemp("bundles") / "llama",
        quantization="f32",
        lora=LoraRequest(rank=4, alpha=8.0, targets=("q_proj", "down_proj")),
        parity_directions=0,
    )
