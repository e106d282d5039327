"""Compilers for phones: Android's NDK, zig, or the GCC of a Linux distribution."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal, get_args

from android_harness.building.accelerators import RunnerBuildError
from android_harness.building.build_process import OutputFunction
from android_harness.building.variants import Variant
from android_harness.building.zig import ZIG_VERSION, zig_compiler

Toolchain = Literal["ndk", "zig", "gcc"]
TOOLCHAINS: tuple[Toolchain, ...] = get_args(Toolchain)

NDK_VARIABLES = ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK")
_ANDROID_PLATFORM = "android-28"
_GNU_TRIPLE = {"arm64-v8a": "aarch64-linux-gnu", "x86_64": "x86_64-linux-gnu"}
_PROCESSOR = {"arm64-v8a": "aarch64", "x86_64": "x86_64"}


def default_toolchain() -> Toolchain:
    """The NDK when one of its variables is set, since its programs reach Android's libraries.

    Otherwise zig, which is one version for everybody.
    """
    return "zig" if ndk_root() is None else "ndk"


def identity(toolchain: Toolchain) -> str:
    """The toolchain as part of a runner's identity, whether it is installed or not."""
    return f"zig {ZIG_VERSION}" if toolchain == "zig" else toolchain


def cpu_options(toolchain: Toolchain, variant: Variant) -> str:
    """The compiler's options for the instruction set."""
    return f"-mcpu={variant.zig_cpu}" if toolchain == "zig" else f"-march={variant.march}"


def toolchain_arguments(
    toolchain: Toolchain, abi: str, on_output: OutputFunction | None
) -> list[str]:
    """CMake's arguments that choose the compiler for an ABI in `PHONE_ABIS`.

    Raises:
        RunnerBuildError: it is not here, or cannot be fetched.
    """
    if toolchain == "ndk":
        return _ndk(abi)
    return [
        "-DCMAKE_SYSTEM_NAME=Linux",
        f"-DCMAKE_SYSTEM_PROCESSOR={_PROCESSOR[abi]}",
        *(zig_compiler(abi, on_output) if toolchain == "zig" else _gcc(abi)),
        "-DCMAKE_EXE_LINKER_FLAGS=-static",  # Android has neither musl nor glibc
    ]


def ndk_root() -> tuple[str, Path] | None:
    """The first variable that names an NDK, and its folder."""
    named = ((variable, os.environ.get(variable)) for variable in NDK_VARIABLES)
    return next(((variable, Path(folder)) for variable, folder in named if folder), None)


def _ndk(abi: str) -> list[str]:
    found = ndk_root()
    if found is None:
        raise RunnerBuildError(
            "no Android NDK is named",
            remedy=f"set {NDK_VARIABLES[0]} to the folder of an installed Android NDK",
        )
    variable, folder = found
    file = folder / "build" / "cmake" / "android.toolchain.cmake"
    if not file.is_file():
        raise RunnerBuildError(
            f"{variable} is set, but holds no CMake toolchain file",
            remedy="set it to the folder of an installed Android NDK, or unset it",
            file=file,
        )
    return [
        f"-DCMAKE_TOOLCHAIN_FILE={file}",
        f"-DANDROID_ABI={abi}",
        f"-DANDROID_PLATFORM={_ANDROID_PLATFORM}",
        "-DANDROID_STL=c++_static",
    ]


def _gcc(abi: str) -> list[str]:
    compiler = f"{_GNU_TRIPLE[abi]}-g++"
    if shutil.which(compiler) is None:
        raise RunnerBuildError(
            f"{compiler} is not installed",
            remedy=f"install it (Debian's g++-{_GNU_TRIPLE[abi].replace('_', '-')}), or leave "
            "--toolchain out",
        )
    return [
        f"-DCMAKE_C_COMPILER={compiler.replace('g++', 'gcc')}",
        f"-DCMAKE_CXX_COMPILER={compiler}",
    ]
