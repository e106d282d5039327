"""Compilers for phones: what CMake is told, and what is said when one is not here.

The NDK is a folder with nothing but the file that CMake reads, and CMake a script that notes what
it was told: neither is needed to see that the right things are asked of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from android_harness.building import runner_build, zig
from android_harness.building.accelerators import RunnerBuildError
from android_harness.building.recipe import phone_recipes
from android_harness.building.runner_build import build
from android_harness.building.toolchains import NDK_VARIABLES, toolchain_arguments

TOOLCHAIN_FILE = "build/cmake/android.toolchain.cmake"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path / "cache"))
    for variable in NDK_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "cache"


@pytest.fixture(params=NDK_VARIABLES)
def ndk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "ndk" / TOOLCHAIN_FILE
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setenv(request.param, str(tmp_path / "ndk"))
    return tmp_path / "ndk"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the CMake that is found first writes its arguments, one a line."""
    told = tmp_path / "told"
    programs = tmp_path / "programs"
    programs.mkdir()
    cmake = programs / "cmake"
    cmake.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {told}\n"
        'if [ "$1" = --build ]; then mkdir -p "$2/bin"; echo built > "$2/bin/fwdllm-runner"; fi\n'
    )
    cmake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(runner_build, "llama_cpp_sources", lambda on_output: tmp_path)
    return told


def test_the_ndk_compiles_each_variant_for_its_processors(ndk: Path, told: Path) -> None:
    for recipe in phone_recipes("arm64-v8a"):
        assert build(recipe).read_text() == "built\n"
    lines = told.read_text().splitlines()
    assert lines.count(f"-DCMAKE_TOOLCHAIN_FILE={ndk / TOOLCHAIN_FILE}") == 3
    assert lines.count("-DANDROID_ABI=arm64-v8a") == 3
    assert lines.count("-DANDROID_PLATFORM=android-28") == 3
    assert lines.count("-DANDROID_STL=c++_static") == 3
    assert [line for line in lines if "FWDLLM_CPU_OPTIONS" in line] == [
        "-DFWDLLM_CPU_OPTIONS=-march=armv8-a",
        "-DFWDLLM_CPU_OPTIONS=-march=armv8.2-a+fp16+dotprod",
        "-DFWDLLM_CPU_OPTIONS=-march=armv8.2-a+fp16+dotprod+i8mm",
    ]


def test_the_ndk_brings_accelerators_along(
    ndk: Path, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENCL_SDK", "HEXAGON_SDK_ROOT", "HEXAGON_TOOLS_ROOT"):
        monkeypatch.setenv(variable, str(tmp_path))
    (recipe,) = phone_recipes("arm64-v8a", ["dotprod"], None, ["hexagon", "opencl"])
    build(recipe)
    assert {"-DGGML_OPENCL=ON", "-DGGML_HEXAGON=ON"} <= set(told.read_text().splitlines())


def test_executorchs_runner_is_built_against_a_build_of_it(
    ndk: Path, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "et/lib/cmake/ExecuTorch/executorch-config.cmake"
    config.parent.mkdir(parents=True)
    config.touch()
    monkeypatch.setenv("EXECUTORCH_ROOT", str(tmp_path / "et"))
    (recipe,) = phone_recipes("arm64-v8a", engine="executorch")
    with pytest.raises(FileNotFoundError):  # the script builds one program alone, not this one
        build(recipe)
    lines = told.read_text().splitlines()
    assert f"-DEXECUTORCH_ROOT={tmp_path / 'et'}" in lines
    assert f"-DCMAKE_TOOLCHAIN_FILE={ndk / TOOLCHAIN_FILE}" in lines
    assert "fwdllm-runner-executorch" in lines


def test_a_folder_that_is_no_ndk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="ANDROID_NDK_HOME is set, but holds no") as caught:
        toolchain_arguments("ndk", "arm64-v8a", None)
    assert caught.value.file == tmp_path / TOOLCHAIN_FILE


def test_an_ndk_that_is_nowhere_is_asked_for() -> None:
    with pytest.raises(RunnerBuildError, match="no Android NDK") as caught:
        toolchain_arguments("ndk", "arm64-v8a", None)
    assert "ANDROID_NDK_HOME" in caught.value.remedy


@pytest.mark.parametrize(
    ("abi", "package"),
    [("arm64-v8a", "g++-aarch64-linux-gnu"), ("x86_64", "g++-x86-64-linux-gnu")],
)
def test_a_missing_cross_compiler_is_named(
    abi: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="g\\+\\+ is not installed") as caught:
        toolchain_arguments("gcc", abi, None)
    assert package in caught.value.remedy


def fake_pip(folder: Path, lines: str) -> str:
    """A program that stands in for `python -m pip install ... --target FOLDER -r FILE`."""
    path = folder / "python"
    find_target = (
        'for word; do if [ "$before" = --target ]; then target=$word; fi; before=$word; done'
    )
    path.write_text(f"#!/bin/sh\n{find_target}\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_zig_is_fetched_once_by_its_hash(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "requirements"
    install = f'cat "$before" >> {seen}; mkdir -p "$target/ziglang"; touch "$target/ziglang/zig"'
    monkeypatch.setattr(sys, "executable", fake_pip(tmp_path, install))
    arguments = [toolchain_arguments("zig", abi, None) for abi in ("arm64-v8a", "x86_64")]

    (requirement,) = seen.read_text().splitlines()
    assert requirement.startswith(f"ziglang=={zig.ZIG_VERSION} --hash=sha256:")
    for given, target in zip(arguments, ("aarch64-linux-musl", "x86_64-linux-musl"), strict=True):
        assert "-DCMAKE_EXE_LINKER_FLAGS=-static" in given
        (compiler,) = (each for each in given if each.startswith("-DCMAKE_CXX_COMPILER="))
        program = Path(compiler.partition("=")[2])
        assert program.is_relative_to(cache)
        assert f"c++ -target {target} " in program.read_text()


def test_a_zig_that_cannot_be_fetched_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", fake_pip(tmp_path, "echo hashes do not match; exit 1"))
    with pytest.raises(RunnerBuildError, match="hashes do not match"):
        toolchain_arguments("zig", "arm64-v8a", None)
    assert list((cache / "zig").iterdir()) == []
