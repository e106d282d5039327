"""Building the native runner: what is reused, and what is said when it cannot be built."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from android_harness.building import llama_cpp_sources, recipe, runner_build
from android_harness.building.accelerators import RunnerBuildError
from android_harness.building.recipe import host_abi, native_recipe, phone_recipes
from android_harness.building.runner_build import build, build_runner
from android_harness.building.toolchains import NDK_VARIABLES


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("FWDLLM_CACHE", str(cache))
    return cache


@pytest.fixture
def own_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the C++ sources that a test may change."""
    copy = tmp_path / "runner"
    shutil.copytree(recipe.RUNNER_SOURCES, copy)
    for module in (recipe, runner_build):
        monkeypatch.setattr(module, "RUNNER_SOURCES", copy)
    return copy


def test_a_built_runner_is_not_built_again(runner_binary: Path) -> None:
    lines: list[str] = []
    assert build_runner(on_output=lines.append) == runner_binary == native_recipe().path
    assert lines == []


def test_the_runners_own_tests_pass(runner_binary: Path) -> None:
    lines: list[str] = []
    runner_build.run_runner_tests(on_output=lines.append)
    assert any("100% tests passed" in line for line in lines)


def test_a_change_of_any_source_is_another_runner(own_sources: Path) -> None:
    before = native_recipe().path
    for file in (own_sources / "CMakeLists.txt", own_sources / "src" / "ggml" / "model.cpp"):
        file.write_text(file.read_text() + "\n")
        after = native_recipe().path
        assert after != before
        before = after
    (own_sources / "tests" / "common" / "check.h").write_text("")  # not part of the binary
    assert native_recipe().path == before


def test_the_engines_do_not_share_their_identity(own_sources: Path) -> None:
    """A change of one engine's sources leaves the other's runner as it is; common ones do not."""
    ggml, executorch = native_recipe().path, native_recipe(engine="executorch").path
    assert (ggml.name, executorch.name) == ("fwdllm-runner", "fwdllm-runner-executorch")

    _touch(own_sources / "src" / "ggml" / "model.cpp")
    assert native_recipe().path != ggml
    assert native_recipe(engine="executorch").path == executorch

    _touch(own_sources / "src" / "common" / "records.cpp")
    assert native_recipe(engine="executorch").path != executorch


def _touch(file: Path) -> None:
    file.write_text(file.read_text() + "\n")


def test_the_executorch_runners_own_tests_pass(executorch_runner_binary: Path) -> None:
    lines: list[str] = []
    runner_build.run_runner_tests(engine="executorch", on_output=lines.append)
    assert any("100% tests passed" in line for line in lines)


@pytest.fixture
def without_sdks(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*NDK_VARIABLES, "EXECUTORCH_ROOT"):
        monkeypatch.delenv(variable, raising=False)


def build_for_phones(*variants: str, **choices: Any) -> list[Path]:
    return [build(each) for each in phone_recipes("arm64-v8a", variants or None, **choices)]


@pytest.mark.usefixtures("without_sdks")
def test_executorch_for_phones_says_how_to_build_it() -> None:
    with pytest.raises(RunnerBuildError, match="needs ExecuTorch built for them") as caught:
        build_for_phones(engine="executorch")
    assert "--preset android-arm64-v8a" in caught.value.remedy
    assert "EXECUTORCH_ROOT" in caught.value.remedy


@pytest.mark.usefixtures("without_sdks")
def test_a_folder_without_executorch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTORCH_ROOT", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="holds no installed ExecuTorch") as caught:
        build_for_phones(engine="executorch")
    assert caught.value.file == tmp_path / "lib/cmake/ExecuTorch/executorch-config.cmake"


@pytest.mark.usefixtures("without_sdks")
def test_executorch_for_phones_needs_the_ndk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "lib/cmake/ExecuTorch/executorch-config.cmake"
    config.parent.mkdir(parents=True)
    config.touch()
    monkeypatch.setenv("EXECUTORCH_ROOT", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="executorch on phones needs Android's") as caught:
        build_for_phones(engine="executorch")
    assert "ANDROID_NDK_HOME" in caught.value.remedy


@pytest.mark.usefixtures("without_sdks")
def test_accelerators_of_phones_need_the_ndk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCL_SDK", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="opencl on phones needs Android's") as caught:
        build_for_phones("dotprod", accelerators=["opencl"])
    assert "ANDROID_NDK_HOME" in caught.value.remedy


def test_executorch_has_no_accelerators_of_ggml(empty_cache: Path) -> None:
    with pytest.raises(RunnerBuildError, match="no accelerators of its own"):
        build_runner(accelerators=("vulkan",), engine="executorch")


def test_a_missing_executorch_is_named(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunnerBuildError, match="executorch is not installed") as caught:
        build_runner(engine="executorch")
    assert caught.value.remedy == "pip install executorch==1.4.1"


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(RunnerBuildError, match="does not support the processor riscv64"):
        host_abi()


def test_a_machine_without_cmake_is_told_so(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="cmake is not installed"):
        build_runner()


def fake_python(folder: Path, lines: str) -> str:
    """A program that stands in for `python -m pip download ... --dest FOLDER REQUIREMENT`."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_a_failing_download_shows_what_pip_said(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, "echo no such index; exit 3"))
    lines: list[str] = []
    with pytest.raises(RunnerBuildError, match="exit code 3:\nno such index"):
        build_runner(on_output=lines.append)
    assert lines == ["no such index"]


def test_another_distribution_than_the_pinned_one_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The value of --dest is the last argument but one.
    find_dest = "for last; do dest=$previous; previous=$last; done"
    script = f'{find_dest}; echo x > "$dest/{llama_cpp_sources.SDIST_NAME}"'
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, script))
    with pytest.raises(RunnerBuildError, match="something else than the llama-cpp-python"):
        build_runner()
    assert not list(empty_cache.rglob(llama_cpp_sources.SDIST_NAME))


def test_a_compile_error_is_shown(
    own_sources: Path, runner_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real cache, so that ggml's sources need not be fetched for it."""
    (own_sources / "CMakeLists.txt").write_text('message(FATAL_ERROR "this does not configure")')
    with pytest.raises(RunnerBuildError, match="this does not configure"):
        build_runner()
