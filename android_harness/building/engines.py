"""The engines that a native runner is built for: which bundles are theirs, what building takes."""

from __future__ import annotations

from typing import Literal, get_args

Engine = Literal["ggml", "executorch"]
ENGINES: tuple[Engine, ...] = get_args(Engine)

_PROGRAMS: dict[Engine, str] = {
    "ggml": "fwdllm-runner",
    "executorch": "fwdllm-runner-executorch",
}
_OF_FORMAT: dict[str, Engine] = {"gguf": "ggml", "executorch": "executorch"}


def program_of(engine: Engine) -> str:
    """The name of the engine's runner, as CMake builds it."""
    return _PROGRAMS[engine]


def engine_of(bundle_format: str) -> Engine:
    """The engine that computes bundles of a manifest's `format`."""
    return _OF_FORMAT[bundle_format]
