"""The baseline: a central probe as stock llama.cpp can do it, two forward passes with LoRA applied.

llama.cpp has no loss and no perturbation; what is timed is two `llama_decode` calls over the
whole batch, with the logits of each sequence's last position. A real probe on it would pay more.
"""

from __future__ import annotations

import ctypes
import mmap
import time
from pathlib import Path

import llama_cpp
import numpy as np


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    pass


class _SignalStack(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


_SMALL = mmap.mmap(-1, 4096)  # stays the stack of this thread's signals


def refuse_amx() -> None:
    """Makes ggml take the kernels that it has for other processors too.

    No phone has Intel's AMX, and the native runner does not use it. Linux grants AMX only to
    processes whose signal stacks could hold its registers, so a small one is set; ggml then asks
    in vain and goes on without.
    """
    address = ctypes.addressof(ctypes.c_char.from_buffer(_SMALL))
    stack = _SignalStack(address, 0, len(_SMALL))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sigaltstack(ctypes.byref(stack), None) != 0:
        raise OSError(ctypes.get_errno(), "sigaltstack")


class LlamaCppProbe:
    """A base with its adapter, after `refuse_amx`."""

    def __init__(self, base: Path, adapter: Path, threads: int) -> None:
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(base).encode(), llama_cpp.llama_model_default_params()
        )
        self._adapter = llama_cpp.llama_adapter_lora_init(self._model, str(adapter).encode())
        self._threads = threads
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocabulary)

    def time(self, batch: int, tokens: int, repetitions: int) -> list[tuple[float, float]]:
        """(wall, CPU) seconds of each probe, after one that warms up."""
        context = self._context(batch, tokens)
        inputs = self._inputs(batch, tokens)
        try:
            timed = [self._probe(context, inputs) for _ in range(repetitions + 1)]
        finally:
            llama_cpp.llama_batch_free(inputs)
            llama_cpp.llama_free(context)
        return timed[1:]

    def _probe(
        self, context: llama_cpp.llama_context_p, inputs: llama_cpp.llama_batch
    ) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(2):
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
            if llama_cpp.llama_decode(context, inputs) != 0:
                raise RuntimeError("llama_decode failed")
            llama_cpp.llama_get_logits_ith(context, -1)
        return time.perf_counter() - wall, time.process_time() - cpu

    def _context(self, batch: int, tokens: int) -> llama_cpp.llama_context_p:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_seq_max = batch
        parameters.n_ctx = batch * max(tokens, 256)
        parameters.n_batch = parameters.n_ubatch = batch * tokens
        parameters.n_threads = parameters.n_threads_batch = self._threads
        context = llama_cpp.llama_init_from_model(self._model, parameters)
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(self._adapter)
        scales = (ctypes.c_float * 1)(1.0)
        if llama_cpp.llama_set_adapters_lora(context, adapters, 1, scales) != 0:
            raise RuntimeError("llama.cpp refused the adapter")
        return context

    def _inputs(self, batch: int, tokens: int) -> llama_cpp.llama_batch:
        ids = np.random.default_rng(0).integers(3, self._vocabulary_size, size=(batch, tokens))
        inputs = llama_cpp.llama_batch_init(batch * tokens, 0, 1)
        inputs.n_tokens = batch * tokens
        for sequence in range(batch):
            for position in range(tokens):
                index = sequence * tokens + position
                inputs.token[index] = int(ids[sequence, position])
                inputs.pos[index] = position
                inputs.n_seq_id[index] = 1
                inputs.seq_id[index][0] = sequence
                inputs.logits[index] = position == tokens - 1
        return inputs
