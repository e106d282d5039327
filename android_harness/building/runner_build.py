"""Builds the native runners from the C++ sources beside this file.

There is one runner for each engine (`engines.py`). Built runners are kept by the hash of everything
that decides what they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from android_harness.building.accelerators import Accelerator, RunnerBuildError, cmake_arguments
from android_harness.building.build_process import OutputFunction, run_tool
from android_harness.building.engines import Engine, program_of
from android_harness.building.executorch_libraries import executorch_arguments
from android_harness.building.llama_cpp_sources import (
    SDIST_REQUIREMENT,
    SDIST_SHA256,
    llama_cpp_sources,
)
from android_harness.host_folders import cache_root
from exporters.durable_files import sha256_of

RUNNER_SOURCES = Path(__file__).parents[1] / "runner"

# The feature level of phones since about 2018; ggml's integer dot products need dotprod.
_ARM_FEATURE_LEVEL = "armv8.2-a+dotprod+fp16"
_ANDROID_PLATFORM = "android-28"


def host_abi() -> str:
    """The Android ABI name of this machine.

    Raises:
        RunnerBuildError: the runner does not support this processor.
    """
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return "x86_64"
    if machine in ("aarch64", "arm64"):
        return "arm64-v8a"
    raise RunnerBuildError(
        f"the runner does not support the processor {machine}",
        remedy="use an x86-64 or 64-bit ARM machine",
    )


def runner_path(
    abi: str, accelerators: Sequence[Accelerator] = (), *, engine: Engine = "ggml"
) -> Path:
    """Where `build_runner` puts the engine's runner for `abi`, built or not."""
    what = [SDIST_SHA256, abi, _instruction_set(abi), *sorted(accelerators)]
    if engine == "executorch" and abi == host_abi():
        what += executorch_arguments(android=False)
    digest = hashlib.sha256("\n".join([*what, ""]).encode())
    for path in _source_files(engine):
        digest.update(f"{path.relative_to(RUNNER_SOURCES)} {sha256_of(path)}\n".encode())
    name = "-".join([abi, *sorted(accelerators), digest.hexdigest()[:16]])
    return cache_root() / "runner" / name / program_of(engine)


def build_runner(
    abi: str | None = None,
    accelerators: Sequence[Accelerator] = (),
    *,
    engine: Engine = "ggml",
    on_output: OutputFunction | None = None,
) -> Path:
    """Builds the engine's runner for `abi` (this machine's when None) and returns its path.

    Does nothing when this very runner is already built, and fetches nothing when the sources are
    in the cache. Several processes may ask at once; one builds, the others wait.

    Args:
        accelerators: what ggml computes on beside the CPU.
        on_output: called with each line that pip, CMake and the compiler print.

    Raises:
        RunnerBuildError: a tool or SDK is missing, the sources cannot be fetched, or they do not
            build.
    """
    abi = abi or host_abi()
    if accelerators and engine != "ggml":
        raise RunnerBuildError(
            f"a runner with {engine} has no accelerators of its own",
            remedy="export the bundle for the accelerator's backend instead",
        )
    runner = runner_path(abi, accelerators, engine=engine)
    if runner.is_file():
        return runner
    with _only_builder(on_output):
        if not runner.is_file():
            folder = _configure(engine, abi, accelerators, on_output, tests=False)
            _build(folder, on_output, target=program_of(engine))
            if runner_path(abi, accelerators, engine=engine) != runner:
                raise RunnerBuildError(
                    "the runner's sources changed while they were compiled",
                    remedy="build again",
                    file=RUNNER_SOURCES,
                )
            _install(folder / "bin" / program_of(engine), runner)
    return runner


def run_runner_tests(*, engine: Engine = "ggml", on_output: OutputFunction | None = None) -> None:
    """Builds the runner's own tests for this machine and runs them with ctest.

    Raises:
        RunnerBuildError: they do not build, or a test fails.
    """
    with _only_builder(on_output):
        folder = _configure(engine, host_abi(), (), on_output, tests=True)
        _build(folder, on_output, target="all")
        run_tool(["ctest", "--test-dir", str(folder), "--output-on-failure"], on_output)


def build_products(*, on_output: OutputFunction | None = None) -> Path:
    """Builds tests/ggml/products.cpp here, what a pass of ggml costs at the least; its path.

    Raises:
        RunnerBuildError: it does not build.
    """
    with _only_builder(on_output):
        folder = _configure("ggml", host_abi(), (), on_output, tests=True)
        _build(folder, on_output, target="products")
    return folder / "bin" / "products"


def _source_files(engine: Engine) -> list[Path]:
    """What the engine's runner is built of; other engines' sources do not change it."""
    folders = [RUNNER_SOURCES / "src" / name for name in ("common", engine)]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [RUNNER_SOURCES / "CMakeLists.txt", *sorted(files)]


# Compiling ----------------------------------------------------------------------------------


def _instruction_set(abi: str) -> str:
    """What the compiler may assume of the processor, as part of a runner's identity."""
    if abi != host_abi():
        return _ARM_FEATURE_LEVEL
    # A native build uses all that this processor has; a cache may be carried to another one.
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return "native " + next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _toolchain(abi: str) -> list[str]:
    """CMake's arguments that choose the compiler and the instruction set."""
    if abi == host_abi():
        return ["-DFWDLLM_MARCH=native"]
    if abi != "arm64-v8a":
        raise RunnerBuildError(
            f"no way is known to build a runner for {abi} on {host_abi()}",
            remedy="build it on such a machine, or choose arm64-v8a",
        )
    arguments = [f"-DFWDLLM_MARCH={_ARM_FEATURE_LEVEL}"]
    if ndk := os.environ.get("ANDROID_NDK_ROOT"):
        toolchain = Path(ndk) / "build" / "cmake" / "android.toolchain.cmake"
        if not toolchain.is_file():
            raise RunnerBuildError(
                "ANDROID_NDK_ROOT is set, but holds no CMake toolchain file",
                remedy="set it to the folder of an installed Android NDK, or unset it",
                file=toolchain,
            )
        return [
            *arguments,
            f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
            f"-DANDROID_ABI={abi}",
            f"-DANDROID_PLATFORM={_ANDROID_PLATFORM}",
            "-DANDROID_STL=c++_static",
        ]
    if shutil.which("aarch64-linux-gnu-g++"):
        return [
            *arguments,
            "-DCMAKE_SYSTEM_NAME=Linux",
            "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
            "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc",
            "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
            "-DCMAKE_EXE_LINKER_FLAGS=-static",  # Android has no glibc
        ]
    raise RunnerBuildError(
        "no compiler for arm64-v8a was found",
        remedy="set ANDROID_NDK_ROOT to an Android NDK, or install g++-aarch64-linux-gnu",
    )


def _engine_arguments(engine: Engine, abi: str, accelerators: Sequence[Accelerator]) -> list[str]:
    """CMake's arguments that choose the engine and what it needs."""
    android = abi != host_abi()
    if engine == "executorch":
        return ["-DFWDLLM_ENGINE=executorch", *executorch_arguments(android=android)]
    if accelerators and android and "ANDROID_NDK_ROOT" not in os.environ:
        raise RunnerBuildError(
            "a runner with accelerators needs Android's own libraries",
            remedy="set ANDROID_NDK_ROOT to an Android NDK",
        )
    chosen = cmake_arguments(sorted(accelerators), android=android)
    return ["-DFWDLLM_ENGINE=ggml", f"-DGGML_SOURCE={SDIST_REQUIREMENT}", *chosen]


def _configure(
    engine: Engine,
    abi: str,
    accelerators: Sequence[Accelerator],
    on_output: OutputFunction | None,
    *,
    tests: bool,
) -> Path:
    """Runs CMake; returns the build folder, which later builds of changed sources reuse."""
    chosen = [*_engine_arguments(engine, abi, accelerators), *_toolchain(abi)]
    if shutil.which("cmake") is None:
        raise RunnerBuildError("cmake is not installed", remedy="install cmake and a C++ compiler")
    llama_cpp = llama_cpp_sources(on_output)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    arguments = [*generator, f"-DLLAMA_CPP_DIR={llama_cpp}", "-DCMAKE_BUILD_TYPE=Release", *chosen]
    # CMake keeps a build folder to one source folder, compiler and set of instructions.
    key = "\n".join([str(RUNNER_SOURCES), _instruction_set(abi), *arguments])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_root() / "runner-build" / f"{abi}-{digest}"
    testing = f"-DBUILD_TESTING={'ON' if tests else 'OFF'}"
    run_tool(
        ["cmake", "-S", str(RUNNER_SOURCES), "-B", str(folder), *arguments, testing], on_output
    )
    return folder


def _build(folder: Path, on_output: OutputFunction | None, *, target: str) -> None:
    jobs = str(os.cpu_count() or 1)
    run_tool(["cmake", "--build", str(folder), "--parallel", jobs, "--target", target], on_output)


def _install(built: Path, runner: Path) -> None:
    """Copies the binary so that it is absent or whole and executable."""
    runner.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=runner.parent, delete=False) as temporary:
        with built.open("rb") as source:
            shutil.copyfileobj(source, temporary)
        temporary.flush()
        os.fsync(temporary.fileno())
    Path(temporary.name).chmod(0o755)
    Path(temporary.name).replace(runner)


@contextmanager
def _only_builder(on_output: OutputFunction | None) -> Iterator[None]:
    """Holds the lock under which one process at a time fetches and builds."""
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with (root / "runner-build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_output is not None:
                on_output("waiting for another process that builds the runner")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
