"""The runner on another device than the CPU: here Vulkan in software, where it was built."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from android_harness.building.accelerators import RunnerBuildError, accelerator_of, cmake_arguments
from android_harness.building.recipe import native_recipe
from android_harness.job import EvaluateTask, ProbeTask, Task
from android_harness.records import (
    CoverageRecord,
    EvaluationRecord,
    LoadRecord,
    ProbeRecord,
    Record,
    parse_records,
)
from exporters.errors import FwdllmError
from tests.android_harness.runner.runner_models import Bench, Shape, make_bench, random_sequences

TASKS: list[Task] = [
    EvaluateTask(batch=(0, 1)),
    ProbeTask(batch=(0, 1), estimator="tangent", directions=(1, 2, 3)),
    ProbeTask(batch=(0, 1), estimator="central", epsilon=1e-2, directions=(1, 2, 3)),
]


@pytest.fixture(scope="module")
def vulkan_runner() -> Path:
    runner = native_recipe(["vulkan"]).path
    if not runner.is_file():
        pytest.skip("not built: fwdllm runner build --with vulkan")
    return runner


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path, Shape())
    bench.write_examples(random_sequences([20, 33], bench.shape.vocabulary))
    return bench


def run_on_vulkan(runner: Path, job: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    # ggml passes over devices in software unless they are asked for.
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "0")
    done = subprocess.run([runner, job], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return parse_records(done.stdout, device="local")


def numbers(records: list[Record]) -> list[float]:
    return [
        record.loss if isinstance(record, EvaluationRecord) else record.slope
        for record in records
        if isinstance(record, EvaluationRecord | ProbeRecord)
    ]


def test_a_gpu_computes_what_the_cpu_does(
    vulkan_runner: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each task leaves buffers behind that the next one must not meet.
    tasks = [*TASKS, *reversed(TASKS), TASKS[1]]
    on_cpu = bench.run(*tasks)
    on_gpu = run_on_vulkan(vulkan_runner, bench.job(*tasks, device="vulkan"), monkeypatch)
    (load,) = (record for record in on_gpu if isinstance(record, LoadRecord))
    assert (load.backend, load.device) == ("ggml-vulkan", "Vulkan0")
    expected = np.array(numbers(on_cpu))
    # Shaders multiply in float16 where the CPU does in float32.
    assert np.linalg.norm(numbers(on_gpu) - expected) < 0.02 * np.linalg.norm(expected)
    coverage = [record for record in on_gpu if isinstance(record, CoverageRecord)]
    assert len(coverage) == sum(isinstance(task, ProbeTask) for task in tasks)
    for record in coverage:
        # Losses, directions and their low-rank products are our own operations.
        assert set(record.on_cpu) == {"CUSTOM"}
        assert record.on_device > sum(record.on_cpu.values())


def test_the_cpu_has_nothing_to_count(bench: Bench, runner_binary: Path) -> None:
    assert runner_binary.exists()
    records = bench.run(TASKS[1], device="cpu")
    assert not [record for record in records if isinstance(record, CoverageRecord)]


def test_a_device_that_is_not_there(bench: Bench, runner_binary: Path) -> None:
    done = subprocess.run(
        [runner_binary, bench.job(TASKS[0], device="Vulkan7")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no device Vulkan7 here; there are CPU" in done.stdout


# Building -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "accelerator"),
    [
        (None, None),
        ("CPU", None),
        ("vulkan", "vulkan"),
        ("Vulkan1", "vulkan"),
        ("GPUOpenCL", "opencl"),
        ("HTP0", "hexagon"),
        ("hexagon", "hexagon"),
    ],
)
def test_devices_tell_their_accelerator(device: str | None, accelerator: str | None) -> None:
    assert accelerator_of(device) == accelerator


def test_an_unknown_device_is_refused_with_the_known() -> None:
    with pytest.raises(FwdllmError, match="no device is called tpu") as caught:
        accelerator_of("tpu")
    assert "vulkan, opencl, hexagon" in (caught.value.remedy or "")


def test_an_sdk_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("VULKAN_SDK", "OPENCL_SDK", "HEXAGON_SDK_ROOT", "HEXAGON_TOOLS_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerBuildError, match="needs glslc"):
        cmake_arguments(["vulkan"], android=False)
    with pytest.raises(RunnerBuildError, match="loader for Android") as opencl:
        cmake_arguments(["opencl"], android=True)
    assert "set OPENCL_SDK" in (opencl.value.remedy or "")
    with pytest.raises(RunnerBuildError, match="runs on phones alone"):
        cmake_arguments(["hexagon"], android=False)
    with pytest.raises(RunnerBuildError, match="Hexagon SDK is not here"):
        cmake_arguments(["hexagon"], android=True)


def test_sdks_that_are_there_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("VULKAN_SDK", "OPENCL_SDK", "HEXAGON_SDK_ROOT", "HEXAGON_TOOLS_ROOT"):
        monkeypatch.setenv(variable, str(tmp_path))
    glslc = tmp_path / "glslc"
    glslc.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = cmake_arguments(["hexagon", "opencl", "vulkan"], android=True)
    for expected in (
        "-DGGML_HEXAGON=ON",
        "-DGGML_OPENCL=ON",
        "-DGGML_VULKAN=ON",
        f"-DHEXAGON_SDK_ROOT={tmp_path}",
        f"-DOpenCL_LIBRARY={tmp_path}/lib/libOpenCL.so",
        f"-DVulkan_INCLUDE_DIR={tmp_path}/include",
    ):
        assert expected in arguments
