"""The Hugging Face tokenizer that travels in a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from exporters.errors import ContractError
from exporters.manifest import Bundle

TOKENIZER_FOLDER = "tokenizer"


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, bundle_folder: Path) -> list[Path]:
    """Writes the tokenizer into a bundle under construction; returns its files."""
    folder = bundle_folder / TOKENIZER_FOLDER
    tokenizer.save_pretrained(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def load_tokenizer(bundle: Bundle) -> PreTrainedTokenizerFast:
    """The bundle's tokenizer; it needs no network.

    Raises:
        ContractError: the bundle's tokenizer files are missing or malformed.
    """
    folder = bundle.folder / TOKENIZER_FOLDER
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer
    except Exception as error:  # tokenizers raises bare Exception for malformed files
        raise ContractError(
            f"cannot load the bundle's tokenizer: {error}",
            remedy="export the bundle again",
            file=folder,
        ) from error
