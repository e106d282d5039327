"""Where a model comes from: a Hugging Face folder, a hub id, or a LLaMA GGUF file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from exporters.architecture import architecture_of, refuse_family
from exporters.errors import ExportError, FwdllmError
from exporters.gguf.source import GgufSource
from exporters.manifest import Architecture


@dataclass(frozen=True)
class ModelSource:
    """A model that was found and accepted; its weights are not loaded yet.

    `location` is what transformers loads from: a folder or a hub id.
    """

    name: str
    location: str
    gguf: GgufSource | None
    config: PretrainedConfig
    architecture: Architecture

    def load_model(self) -> PreTrainedModel:
        """The model in its checkpoint's dtype, on the CPU, in evaluation mode.

        Raises:
            ExportError: weights are missing, malformed, or not all used by the model.
        """
        with loading(self.name, "the model's weights"):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                self.location,
                config=self.config,
                dtype="auto",
                attn_implementation="eager",
                output_loading_info=True,
                **self._gguf_argument,
            )
        model, report = loaded
        # Rotary frequencies were once stored; the model computes them from its configuration.
        unexpected = {key for key in report["unexpected_keys"] if "rotary_emb" not in key}
        for problem, keys in (
            ("lacks", report["missing_keys"]),
            ("has unknown", unexpected),
            ("has misshapen", report["mismatched_keys"]),
        ):
            if keys:
                raise ExportError(
                    f"the checkpoint of {self.name} {problem} weights: {sorted(map(str, keys))[:3]}"
                )
        if self.frequency_factors is not None:
            frequencies = model.model.rotary_emb.inv_freq
            frequencies.div_(torch.from_numpy(self.frequency_factors))
        return model.eval()

    def load_tokenizer(self) -> PreTrainedTokenizerFast:
        """The model's tokenizer.

        Raises:
            ExportError: there is none, or it is not of the `tokenizers` library.
        """
        with loading(self.name, "the tokenizer"):
            if self.gguf is not None:
                return self.gguf.load_tokenizer()
            tokenizer: Any = AutoTokenizer.from_pretrained(self.location)
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ExportError(
                f"the tokenizer of {self.name} ({type(tokenizer).__name__}) has no tokenizer.json",
                remedy="convert it with transformers and save it beside the model",
            )
        return tokenizer

    @property
    def frequency_factors(self) -> NDArray | None:
        """float32 [head_size / 2]: what a GGUF source divides its rotary frequencies by."""
        return self.gguf.frequency_factors if self.gguf is not None else None

    @property
    def _gguf_argument(self) -> dict[str, str]:
        return {"gguf_file": self.gguf.path.name} if self.gguf is not None else {}


def find_model(model: str) -> ModelSource:
    """Finds MODEL and reads its configuration, not its weights.

    Raises:
        UnsupportedModelError: the model is not LLaMA-class; the message says in what.
        ExportError: there is no such model, or its configuration cannot be read.
    """
    path = Path(model)
    if path.is_file():
        gguf = GgufSource(path)
        with loading(model, "the model's configuration"):
            config = gguf.load_config()
        architecture = architecture_of(config)
        if gguf.frequency_factors is not None:
            architecture = architecture.model_copy(update={"rope_scaling": "llama3"})
        return ModelSource(model, str(path.parent), gguf, config, architecture)
    if model.endswith(".gguf"):
        raise ExportError("there is no such GGUF file", file=path)
    if path.is_dir() and not (path / "config.json").is_file():
        raise ExportError("this folder holds no Hugging Face model: no config.json", file=path)
    with loading(model, "the model's configuration"):
        # The model_type first: the class of a foreign type may be unknown to transformers.
        refuse_family(PretrainedConfig.get_config_dict(model)[0].get("model_type"))
        config = AutoConfig.from_pretrained(model)
    return ModelSource(model, model, None, config, architecture_of(config))


@contextmanager
def loading(name: str, what: str) -> Iterator[None]:
    """Turns what transformers raises into ExportError, and keeps it from writing to the terminal.

    transformers raises OSError for a model that is absent or out of reach, and otherwise whatever
    its readers meet in malformed files, so every exception counts as a failure to load.
    """
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except FwdllmError:
        raise
    except OSError as error:
        raise ExportError(
            f"cannot find {what} of {name}: {str(error).splitlines()[0]}",
            remedy="give a model folder, a .gguf file, or, with network access, a hub id",
        ) from error
    except Exception as error:
        raise ExportError(f"cannot load {what} of {name}: {error}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
