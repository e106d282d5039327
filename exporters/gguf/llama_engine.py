"""Losses of an artifact, evaluated by stock llama.cpp through llama-cpp-python."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from exporters.errors import ExportError
from exporters.gguf.llama_log import captured_errors

ENGINE_NAME = f"llama-cpp-python {llama_cpp.__version__}"
_F32 = 0  # enum ggml_type
_SMALL_MODEL_BYTES = 64 << 20


class LlamaEngine:
    """A loaded base model; adapters come and go.

    Attention runs without its fused kernel and on a float32 cache, so that an f32 artifact is
    computed in f32 throughout.

    Args:
        base: the GGUF.
        tokens: the longest sequence to evaluate.

    Raises:
        ExportError: llama.cpp does not load the model.
    """

    def __init__(self, base: Path, *, tokens: int) -> None:
        self._model: Any = None
        self._context: Any = None
        with captured_errors() as errors:
            llama_cpp.llama_backend_init()
            loading = llama_cpp.llama_model_default_params()
            # Repacked weights gain nothing here, and those for Intel's AMX crash on Q8_0.
            loading.use_extra_bufts = False
            self._model = llama_cpp.llama_model_load_from_file(os.fsencode(base), loading)
            if self._model:
                parameters = _context_parameters(tokens, _threads(base))
                self._context = llama_cpp.llama_init_from_model(self._model, parameters)
            if not self._context:
                self.close()
                raise ExportError(
                    f"llama.cpp does not load the model: {' '.join(errors)}", file=base
                )
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocabulary = vocabulary
        self._vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._batch = llama_cpp.llama_batch_init(tokens, 0, 1)

    @contextmanager
    def adapter(self, path: Path) -> Iterator[None]:
        """Applies a LoRA adapter while the context lasts.

        Raises:
            ExportError: llama.cpp does not load the adapter onto this model.
        """
        with captured_errors() as errors:
            adapter = llama_cpp.llama_adapter_lora_init(self._model, os.fsencode(path))
        if not adapter:
            raise ExportError(f"llama.cpp does not load the adapter: {' '.join(errors)}", file=path)
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        llama_cpp.llama_set_adapters_lora(self._context, adapters, 1, (ctypes.c_float * 1)(1.0))
        try:
            yield
        finally:
            llama_cpp.llama_set_adapters_lora(self._context, None, 0, None)
            llama_cpp.llama_adapter_lora_free(adapter)

    def logits(self, tokens: NDArray[np.integer]) -> NDArray[np.float32]:
        """Logits after every token of one sequence: float32 [tokens, vocabulary]."""
        count = len(tokens)
        for position, token in enumerate(tokens):
            self._batch.token[position] = int(token)
            self._batch.pos[position] = position
            self._batch.n_seq_id[position] = 1
            self._batch.seq_id[position][0] = 0
            self._batch.logits[position] = 1
        self._batch.n_tokens = count
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        with captured_errors() as errors:
            status = llama_cpp.llama_decode(self._context, self._batch)
        if status != 0:
            raise ExportError(f"llama.cpp failed to evaluate {count} tokens: {' '.join(errors)}")
        logits = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(logits, (count, self._vocabulary_size)).copy()

    def loss(self, sequences: NDArray[np.integer]) -> float:
        """Mean nats per predicted token, in double precision.

        Args:
            sequences: token ids [sequences, tokens + 1]; each predicts its next.
        """
        total = 0.0
        for sequence in sequences:
            logits = self.logits(sequence[:-1]).astype(np.float64)
            top = logits.max(axis=1)
            normalizer = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
            total += float((normalizer - logits[np.arange(len(logits)), sequence[1:]]).sum())
        return total / (sequences.shape[0] * (sequences.shape[1] - 1))

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text with the special tokens that the model's metadata asks for."""
        data = text.encode("utf-8")
        capacity = len(data) + 8
        ids = (llama_cpp.llama_token * capacity)()
        count = llama_cpp.llama_tokenize(
            self._vocabulary, data, len(data), ids, capacity, True, True
        )
        return list(ids[:count])

    def close(self) -> None:
        """Frees the model; the engine is unusable afterwards."""
        if self._context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            self._context = None
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _threads(base: Path) -> int:
    """All processors, but one for a model whose threads would mostly wait for each other."""
    return (os.cpu_count() or 1) if base.stat().st_size >= _SMALL_MODEL_BYTES else 1


def _context_parameters(tokens: int, threads: int) -> Any:
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = tokens
    parameters.n_batch = parameters.n_ubatch = tokens
    parameters.n_threads = parameters.n_threads_batch = threads
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.type_k = parameters.type_v = _F32
    return parameters
