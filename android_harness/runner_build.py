"""Builds the native runner from the C++ sources beside this file.

The runner links ggml, whose sources come from the source distribution of the llama-cpp-python
release that this project pins, so that the runner and llama.cpp's Python binding compute alike.
pip fetches the distribution once; its hash is checked and what is needed of it is kept in the
cache. Built runners are kept by the hash of everything that decides what they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from android_harness.accelerators import Accelerator, RunnerBuildError, cmake_arguments
from android_harness.cache_root import cache_root
from exporters.durable_files import sha256_of

RUNNER_SOURCES = Path(__file__).parent / "runner"

SDIST_REQUIREMENT = "llama-cpp-python==0.3.36"
SDIST_NAME = "llama_cpp_python-0.3.36.tar.gz"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
# What the runner needs of it: ggml with the backends that it may have, and a JSON parser.
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

# The feature level of phones since about 2018; ggml's integer dot products need dotprod.
_ARM_FEATURE_LEVEL = "armv8.2-a+dotprod+fp16"
_ANDROID_PLATFORM = "android-28"

OutputFunction = Callable[[str], None]


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


def runner_path(abi: str, accelerators: Sequence[Accelerator] = ()) -> Path:
    """Where `build_runner` puts the runner for `abi`, built or not."""
    what = [SDIST_SHA256, abi, _instruction_set(abi), *sorted(accelerators)]
    digest = hashlib.sha256("\n".join([*what, ""]).encode())
    for path in _source_files():
        digest.update(f"{path.relative_to(RUNNER_SOURCES)} {sha256_of(path)}\n".encode())
    name = "-".join([abi, *sorted(accelerators), digest.hexdigest()[:16]])
    return cache_root() / "runner" / name / "fwdllm-runner"


def build_runner(
    abi: str | None = None,
    accelerators: Sequence[Accelerator] = (),
    *,
    on_output: OutputFunction | None = None,
) -> Path:
    """Builds the runner for `abi` (this machine's when None) and returns its path.

    Does nothing when this very runner is already built, and fetches nothing when the sources are
    in the cache. Several processes may ask at once; one builds, the others wait.

    Args:
        accelerators: what it computes on beside the CPU.
        on_output: called with each line that pip, CMake and the compiler print.

    Raises:
        RunnerBuildError: a tool or SDK is missing, the sources cannot be fetched, or they do not
            build.
    """
    abi = abi or host_abi()
    runner = runner_path(abi, accelerators)
    if runner.is_file():
        return runner
    with _only_builder(on_output):
        if not runner.is_file():
            folder = _configure(abi, accelerators, on_output, tests=False)
            _build(folder, on_output, target="fwdllm-runner")
            if runner_path(abi, accelerators) != runner:
                raise RunnerBuildError(
                    "the runner's sources changed while they were compiled",
                    remedy="build again",
                    file=RUNNER_SOURCES,
                )
            _install(folder / "bin" / "fwdllm-runner", runner)
    return runner


def run_runner_tests(*, on_output: OutputFunction | None = None) -> None:
    """Builds the runner's own tests for this machine and runs them with ctest.

    Raises:
        RunnerBuildError: they do not build, or a test fails.
    """
    with _only_builder(on_output):
        folder = _configure(host_abi(), (), on_output, tests=True)
        _build(folder, on_output, target="all")
        _run(["ctest", "--test-dir", str(folder), "--output-on-failure"], on_output)


def build_products(*, on_output: OutputFunction | None = None) -> Path:
    """Builds tests/products.cpp for this machine, what a pass costs at the least; its path.

    Raises:
        RunnerBuildError: it does not build.
    """
    with _only_builder(on_output):
        folder = _configure(host_abi(), (), on_output, tests=True)
        _build(folder, on_output, target="products")
    return folder / "bin" / "products"


# Sources ------------------------------------------------------------------------------------


def _source_files() -> list[Path]:
    files = (RUNNER_SOURCES / "src").rglob("*")
    return [RUNNER_SOURCES / "CMakeLists.txt", *sorted(file for file in files if file.is_file())]


def _llama_cpp_sources(on_output: OutputFunction | None) -> Path:
    """The llama.cpp tree, extracted from the source distribution; fetched when not in the cache."""
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
        _run([*pip, "--dest", temporary, SDIST_REQUIREMENT], on_output)
        fetched = Path(temporary) / SDIST_NAME
        if not fetched.is_file() or sha256_of(fetched) != SDIST_SHA256:
            raise RunnerBuildError(
                f"pip fetched something else than the {SDIST_REQUIREMENT} this version expects",
                remedy="check which package index pip uses",
                file=fetched,
            )
        fetched.replace(sdist)
    return sdist


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
        return ["-DGGML_NATIVE=ON"]
    if abi != "arm64-v8a":
        raise RunnerBuildError(
            f"no way is known to build a runner for {abi} on {host_abi()}",
            remedy="build it on such a machine, or choose arm64-v8a",
        )
    arguments = ["-DGGML_NATIVE=OFF", f"-DGGML_CPU_ARM_ARCH={_ARM_FEATURE_LEVEL}"]
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


def _configure(
    abi: str,
    accelerators: Sequence[Accelerator],
    on_output: OutputFunction | None,
    *,
    tests: bool,
) -> Path:
    """Runs CMake; returns the build folder, which later builds of changed sources reuse."""
    toolchain = _toolchain(abi)
    if accelerators and abi != host_abi() and "ANDROID_NDK_ROOT" not in os.environ:
        raise RunnerBuildError(
            "a runner with accelerators needs Android's own libraries",
            remedy="set ANDROID_NDK_ROOT to an Android NDK",
        )
    toolchain += cmake_arguments(sorted(accelerators), android=abi != host_abi())
    if shutil.which("cmake") is None:
        raise RunnerBuildError(
            "cmake is not installed", remedy="install cmake and a C++17 compiler"
        )
    llama_cpp = _llama_cpp_sources(on_output)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    arguments = [*generator, f"-DLLAMA_CPP_DIR={llama_cpp}", "-DCMAKE_BUILD_TYPE=Release"]
    arguments += [f"-DGGML_SOURCE={SDIST_REQUIREMENT}", *toolchain]
    # CMake keeps a build folder to one source folder, compiler and set of instructions.
    key = "\n".join([str(RUNNER_SOURCES), _instruction_set(abi), *arguments])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_root() / "runner-build" / f"{abi}-{digest}"
    testing = f"-DBUILD_TESTING={'ON' if tests else 'OFF'}"
    _run(["cmake", "-S", str(RUNNER_SOURCES), "-B", str(folder), *arguments, testing], on_output)
    return folder


def _build(folder: Path, on_output: OutputFunction | None, *, target: str) -> None:
    jobs = str(os.cpu_count() or 1)
    _run(["cmake", "--build", str(folder), "--parallel", jobs, "--target", target], on_output)


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


# Processes ----------------------------------------------------------------------------------


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


def _run(command: Sequence[str], on_output: OutputFunction | None) -> None:
    """Runs a tool, passing on each line it prints."""
    tail: deque[str] = deque(maxlen=20)
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                tail.append(line.rstrip("\n"))
                if on_output is not None:
                    on_output(line.rstrip("\n"))
    except OSError as error:
        raise RunnerBuildError(
            f"cannot run {command[0]}: {error.strerror}", remedy=f"install {command[0]}"
        ) from error
    if process.returncode != 0:
        raise RunnerBuildError(
            f"{' '.join(command)} failed with exit code {process.returncode}:\n" + "\n".join(tail),
            remedy="read the output above; `fwdllm doctor` names missing tools",
        )
