"""The llama.cpp sources that runners are built from: ggml, and a JSON parser.

They come from the source distribution of the llama-cpp-python release that this project pins, so
that the runner and llama.cpp's Python binding compute alike. pip fetches it once; its hash is
checked and what is needed of it is kept in the cache.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
import tempfile
from pathlib import Path

from android_harness.building.accelerators import RunnerBuildError
from android_harness.building.build_process import OutputFunction, run_tool
from android_harness.host_folders import cache_root
from exporters.durable_files import sha256_of

SDIST_REQUIREMENT = "llama-cpp-python==0.3.36"
SDIST_NAME = "llama_cpp_python-0.3.36.tar.gz"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
# What runners need of it: ggml with the backends that it may have, and a JSON parser.
_SDIST_PARTS = (
    "LICENSE",
    "ggml/CMakeLists.txt",
    "ggml/cmake/",
    "ggml/include/",
    "ggml/src/ggml-cpu/",
    "ggml/src/ggml-hexagon/",
    "ggml/src/ggml-opencl/",
    "ggml/src/ggml-vulkan/",
    "vendor/nlohmann/",
)
_SDIST_SOURCE_FOLDER = "ggml/src/"  # its files, without the folders of the other backends


def llama_cpp_sources(on_output: OutputFunction | None) -> Path:
    """The llama.cpp tree, extracted from the source distribution; fetched when not in the cache.

    Raises:
        RunnerBuildError: it cannot be fetched, or is another one.
    """
    parts = hashlib.sha256("\n".join([SDIST_SHA256, *_SDIST_PARTS]).encode())
    folder = cache_root() / "llama.cpp" / parts.hexdigest()[:16]
    if folder.is_dir():
        return folder
    sdist = _sdist(on_output)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        root = SDIST_NAME.removesuffix(".tar.gz") + "/vendor/llama.cpp/"
        with tarfile.open(sdist) as archive:
            for member in archive:
                if _is_needed(member.name.removeprefix(root)) and member.name.startswith(root):
                    archive.extract(member, temporary, filter="data")
        (Path(temporary) / root).rename(folder)
    return folder


def _is_needed(name: str) -> bool:
    if name.startswith(_SDIST_PARTS):
        return True
    return name.startswith(_SDIST_SOURCE_FOLDER) and "/" not in name[len(_SDIST_SOURCE_FOLDER) :]


def _sdist(on_output: OutputFunction | None) -> Path:
    sdist = cache_root() / "sdist" / SDIST_NAME
    if sdist.is_file() and sha256_of(sdist) == SDIST_SHA256:
        return sdist
    sdist.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=sdist.parent) as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        run_tool([*pip, "--dest", temporary, SDIST_REQUIREMENT], on_output)
        fetched = Path(temporary) / SDIST_NAME
        if not fetched.is_file() or sha256_of(fetched) != SDIST_SHA256:
            raise RunnerBuildError(
                f"pip fetched something else than the {SDIST_REQUIREMENT} this version expects",
                remedy="check which package index pip uses",
                file=fetched,
            )
        fetched.replace(sdist)
    return sdist
