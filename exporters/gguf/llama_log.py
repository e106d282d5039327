"""llama.cpp's log: silent, but for errors, which are kept for the exception that follows."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import llama_cpp

_ERROR_LEVEL = 3  # enum ggml_log_level
_errors: deque[str] = deque(maxlen=3)


@llama_cpp.llama_log_callback
def _keep_errors(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    if level == _ERROR_LEVEL:
        _errors.append(text.decode("utf-8", errors="replace").strip())


@contextmanager
def captured_errors() -> Iterator[deque[str]]:
    """Yields the last error lines that llama.cpp logs from here on."""
    llama_cpp.llama_log_set(_keep_errors, ctypes.c_void_p(0))
    _errors.clear()
    yield _errors
