"""zig: a C++ compiler for phones that pip fetches, with a C and a C++ library of its own.

Its programs are static, with musl for a C library, so that they run on any Linux kernel whatever
the device has for a libc. Only its own folder in the cache is written.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

from android_harness.building.accelerators import RunnerBuildError
from android_harness.building.build_process import OutputFunction, run_tool
from android_harness.host_folders import cache_root

ZIG_VERSION = "0.17.1"
# Of its wheels for Linux on x86-64 and 64-bit ARM.
_WHEELS_SHA256 = (
    "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",
    "b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e",
)
_TARGET = {"arm64-v8a": "aarch64-linux-musl", "x86_64": "x86_64-linux-musl"}


def zig_compiler(abi: str, on_output: OutputFunction | None) -> list[str]:
    """CMake's arguments for zig as the compiler for `abi`; fetches it when it is not in the cache.

    Raises:
        RunnerBuildError: it cannot be fetched, or is another one.
    """
    folder = cache_root() / "zig" / ZIG_VERSION
    if not folder.is_dir():
        _fetch(folder, on_output)
    programs = folder / "bin" / abi
    programs.mkdir(parents=True, exist_ok=True)
    # zig compiles its libraries anew, for most of a minute, for programs that are not optimized or
    # not stripped; with these options here what CMake tries out takes the runner's own.
    target = f"-target {_TARGET[abi]} -O2 -s"
    for name, options in (("cc", target), ("c++", target), ("ar", ""), ("ranlib", "")):
        _write_program(programs / name, folder, f"{name} {options}".strip())
    return [
        f"-DCMAKE_C_COMPILER={programs / 'cc'}",
        f"-DCMAKE_CXX_COMPILER={programs / 'c++'}",
        f"-DCMAKE_AR={programs / 'ar'}",
        f"-DCMAKE_RANLIB={programs / 'ranlib'}",
    ]


def _fetch(folder: Path, on_output: OutputFunction | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        requirements = Path(temporary) / "requirements.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in _WHEELS_SHA256)
        requirements.write_text(f"ziglang=={ZIG_VERSION} {hashes}\n")
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary", ":all:"]
        whole = Path(temporary) / "whole"
        run_tool(
            [*pip, "--require-hashes", "--target", str(whole), "-r", str(requirements)], on_output
        )
        if not (whole / "ziglang" / "zig").is_file():
            raise RunnerBuildError(
                f"pip fetched a ziglang {ZIG_VERSION} without a compiler in it",
                remedy="check which package index pip uses",
            )
        whole.rename(folder)


def _write_program(path: Path, folder: Path, command: str) -> None:
    """A program for CMake, which takes no arguments with the name of its archiver."""
    path.write_text(
        "#!/bin/sh\n"
        f"export ZIG_GLOBAL_CACHE_DIR={shlex.quote(str(folder / 'cache'))}\n"
        f'exec {shlex.quote(str(folder / "ziglang" / "zig"))} {command} "$@"\n'
    )
    path.chmod(0o755)
