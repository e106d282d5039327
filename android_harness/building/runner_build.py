"""Builds the native runners from the C++ sources beside this file.

There is one runner for each engine (`engines.py`). Built runners are kept by the hash of everything
that decides what they are (`recipe.py`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from android_harness.building.accelerators import Accelerator, RunnerBuildError, cmake_arguments
from android_harness.building.build_process import OutputFunction, run_tool
from android_harness.building.engines import Engine, program_of
from android_harness.building.executorch_libraries import executorch_arguments
from android_harness.building.llama_cpp_sources import SDIST_REQUIREMENT, llama_cpp_sources
from android_harness.building.recipe import RUNNER_SOURCES, Recipe, host_features, native_recipe
from android_harness.building.toolchains import NDK_VARIABLES, toolchain_arguments
from android_harness.host_folders import cache_root


def build_runner(
    accelerators: Sequence[Accelerator] = (),
    *,
    engine: Engine = "ggml",
    on_output: OutputFunction | None = None,
) -> Path:
    """Builds the engine's runner for this machine; see `build`."""
    return build(native_recipe(accelerators, engine=engine), on_output=on_output)


def build(recipe: Recipe, *, on_output: OutputFunction | None = None) -> Path:
    """Builds a runner and returns its path.

    Does nothing when this very runner is already built, and fetches nothing when the sources are
    in the cache. Several processes may ask at once; one builds, the others wait.

    Args:
        on_output: called with each line that pip, CMake and the compiler print.

    Raises:
        RunnerBuildError: a tool or SDK is missing, the sources cannot be fetched, or they do not
            build.
    """
    if recipe.accelerators and recipe.engine != "ggml":
        raise RunnerBuildError(
            f"a runner with {recipe.engine} has no accelerators of its own",
            remedy="export the bundle for the accelerator's backend instead",
        )
    runner = recipe.path
    if runner.is_file():
        return runner
    with _only_builder(on_output):
        if not runner.is_file():
            folder = _configure(recipe, on_output, tests=False)
            _build(folder, on_output, target=program_of(recipe.engine))
            if recipe.path != runner:
                raise RunnerBuildError(
                    "the runner's sources changed while they were compiled",
                    remedy="build again",
                    file=RUNNER_SOURCES,
                )
            _install(folder / "bin" / program_of(recipe.engine), runner)
    return runner


def run_runner_tests(*, engine: Engine = "ggml", on_output: OutputFunction | None = None) -> None:
    """Builds the runner's own tests for this machine and runs them with ctest.

    Raises:
        RunnerBuildError: they do not build, or a test fails.
    """
    with _only_builder(on_output):
        folder = _configure(native_recipe(engine=engine), on_output, tests=True)
        _build(folder, on_output, target="all")
        run_tool(["ctest", "--test-dir", str(folder), "--output-on-failure"], on_output)


def build_products(*, on_output: OutputFunction | None = None) -> Path:
    """Builds tests/ggml/products.cpp here, what a pass of ggml costs at the least; its path.

    Raises:
        RunnerBuildError: it does not build.
    """
    with _only_builder(on_output):
        folder = _configure(native_recipe(), on_output, tests=True)
        _build(folder, on_output, target="products")
    return folder / "bin" / "products"


# Compiling ----------------------------------------------------------------------------------


def _engine_arguments(recipe: Recipe) -> list[str]:
    """CMake's arguments that choose the engine and what it needs."""
    android = recipe.phones is not None
    if recipe.engine == "executorch":
        return ["-DFWDLLM_ENGINE=executorch", *executorch_arguments(android=android)]
    chosen = cmake_arguments(recipe.accelerators, android=android)
    return ["-DFWDLLM_ENGINE=ggml", f"-DGGML_SOURCE={SDIST_REQUIREMENT}", *chosen]


def _toolchain_arguments(recipe: Recipe, on_output: OutputFunction | None) -> list[str]:
    """CMake's arguments that choose the compiler and the instruction set."""
    cpu = f"-DFWDLLM_CPU_OPTIONS={recipe.cpu_options}"
    if recipe.phones is None:
        return [cpu]
    toolchain = recipe.phones.toolchain
    if toolchain != "ndk" and (recipe.engine != "ggml" or recipe.accelerators):
        raise RunnerBuildError(
            f"{' and '.join(recipe.accelerators) or recipe.engine} on phones needs Android's own "
            "libraries",
            remedy=f"install an Android NDK and set {NDK_VARIABLES[0]} to its folder",
        )
    return [cpu, *toolchain_arguments(toolchain, recipe.abi, on_output)]


def _configure(recipe: Recipe, on_output: OutputFunction | None, *, tests: bool) -> Path:
    """Runs CMake; returns the build folder, which later builds of changed sources reuse."""
    engine = _engine_arguments(recipe)
    if shutil.which("cmake") is None:
        raise RunnerBuildError("cmake is not installed", remedy="install cmake and a C++ compiler")
    chosen = [*engine, *_toolchain_arguments(recipe, on_output)]
    llama_cpp = llama_cpp_sources(on_output)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    arguments = [*generator, f"-DLLAMA_CPP_DIR={llama_cpp}", "-DCMAKE_BUILD_TYPE=Release", *chosen]
    # CMake keeps a build folder to one source folder, compiler and set of instructions.
    processor = host_features() if recipe.phones is None else ""
    key = "\n".join([str(RUNNER_SOURCES), processor, *arguments])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_root() / "runner-build" / ".".join([*recipe.labels, digest])
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
