"""The runners for phones that were built: here, and under emulation of phones' processors."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
import pytest

from android_harness.building.elf import read_elf
from android_harness.building.recipe import host_abi, phone_recipe
from android_harness.building.toolchains import TOOLCHAINS, Toolchain
from android_harness.building.variants import variants
from android_harness.errors import RunnerFailedError
from android_harness.job import EvaluateTask, ProbeTask
from android_harness.records import EvaluationRecord, HelloRecord, LoadRecord, parse_records
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from tests.android_harness.runner.runner_models import (
    Bench,
    Shape,
    make_bench,
    probes,
    random_sequences,
)

pytestmark = pytest.mark.skipif(
    host_abi() != "x86_64", reason="the emulated processors are compared with an x86-64 one"
)
EMULATORS = {"arm64-v8a": "qemu-aarch64-static", "x86_64": "qemu-x86_64-static"}


class Case(NamedTuple):
    """A variant, the least processor that qemu can emulate for it, and what its kernels use."""

    abi: str
    variant: str
    processor: str | None  # None: this machine's own
    kernels: frozenset[str]


BASELINE = Case("arm64-v8a", "baseline", "cortex-a53", frozenset({"NEON"}))
DOTPROD = Case("arm64-v8a", "dotprod", "neoverse-n1", frozenset({"NEON", "DOTPROD", "FP16_VA"}))
I8MM = Case("arm64-v8a", "i8mm", "max", DOTPROD.kernels | {"MATMUL_INT8"})
SSE = Case("x86_64", "baseline", None, frozenset({"SSSE3"}))
AVX2 = Case("x86_64", "avx2", None, frozenset({"SSSE3", "AVX2", "FMA", "F16C"}))


def name(case: Case) -> str:
    return f"{case.abi}-{case.variant}"


def built(case: Case, *toolchains: Toolchain) -> Path:
    """The runner by the first of these that built one; skips where none did."""
    (variant,) = (each for each in variants(case.abi) if each.name == case.variant)
    for toolchain in toolchains:
        path = phone_recipe(case.abi, variant, toolchain).path
        if path.is_file():
            return path
    pytest.skip(f"not built: fwdllm runner build --abi {case.abi}")


def built_to_run(case: Case) -> Path:
    """Not by the NDK, whose programs start on Android alone."""
    return built(case, "zig", "gcc")


def run(runner: Path, abi: str, processor: str | None, job: Path) -> str:
    """The records of a job; on this machine's own processor when none is named."""
    command: list[str | Path] = [runner, job]
    if processor is not None:
        emulator = shutil.which(EMULATORS[abi])
        if emulator is None:
            pytest.skip(f"{EMULATORS[abi]} is not installed")
        command = [emulator, "-cpu", processor, *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False).stdout


@pytest.mark.parametrize("kind", ["F32", "Q4_0", "Q8_0"])
@pytest.mark.parametrize("case", [BASELINE, DOTPROD, I8MM, SSE, AVX2], ids=name)
def test_phones_compute_what_this_machine_computes(
    case: Case, kind: str, tmp_path: Path, runner_binary: Path
) -> None:
    runner = built_to_run(case)
    bench = make_bench(tmp_path, Shape(), gguf.GGMLQuantizationType[kind])
    bench.write_examples(random_sequences([20, 12], bench.shape.vocabulary))
    everywhere = Combination(pairs=((3, 0.01), (tuple(range(len(bench.layout.tensors))), 0.02)))
    somewhere = Combination(support=Support(layers=(1, 1), matrices="B"), pairs=((4, -0.02),))
    updates = (everywhere, somewhere)
    tasks = (
        EvaluateTask(batch=(0, 1)),
        ProbeTask(batch=(0, 1), estimator="tangent", directions=(1, 2, 3, 4, 5)),
    )
    here = bench.run(*tasks, updates=updates, threads=2)
    job = bench.job(*tasks, updates=updates, threads=2)
    there = parse_records(run(runner, case.abi, case.processor, job), device=name(case))

    (hello,) = (r for r in there if isinstance(r, HelloRecord))
    assert set(hello.features) - {"ARM_FMA", "LLAMAFILE", "SSE3", "AVX", "BMI2"} == case.kernels
    (loss_here,) = (r.loss for r in here if isinstance(r, EvaluationRecord))
    (loss_there,) = (r.loss for r in there if isinstance(r, EvaluationRecord))
    assert loss_there == pytest.approx(loss_here, rel=1e-5 if kind == "F32" else 1e-2)
    slopes_here, slopes_there = (
        np.array([record.slope for record in probes(records)]) for records in (here, there)
    )
    error = np.linalg.norm(slopes_there - slopes_here) / np.linalg.norm(slopes_here)
    assert error < (1e-5 if kind == "F32" else 0.05)
    (hash_here,) = (r.lora_sha256 for r in here if isinstance(r, LoadRecord))
    (hash_there,) = (r.lora_sha256 for r in there if isinstance(r, LoadRecord))
    assert hash_there == hash_here


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path, Shape())
    bench.write_examples(random_sequences([20], bench.shape.vocabulary))
    return bench


@pytest.mark.parametrize(
    ("case", "processor", "lacking"),
    [
        (DOTPROD, "cortex-a53", "atomics, asimdhp, asimddp"),
        (I8MM, "neoverse-n1", "i8mm"),
        (AVX2, "Nehalem", "fma, f16c, bmi2, avx2"),
    ],
    ids=["dotprod-on-a53", "i8mm-on-n1", "avx2-on-nehalem"],
)
def test_a_lesser_processor_is_told_what_it_lacks(
    case: Case, processor: str, lacking: str, bench: Bench
) -> None:
    """Instead of an illegal instruction in the middle of the work."""
    output = run(built_to_run(case), case.abi, processor, bench.job(EvaluateTask(batch=(0,))))
    with pytest.raises(RunnerFailedError, match=f"lacks {lacking} Remedy") as caught:
        parse_records(output, device="emulated")
    assert caught.value.phase == "processor"
    assert "FWDLLM_RUNNER_VARIANT" in caught.value.remedy


@pytest.mark.parametrize("case", [BASELINE, DOTPROD, I8MM, SSE, AVX2], ids=name)
def test_a_phone_can_load_it(case: Case) -> None:
    """Android has no loader of glibc's or musl's, and may have pages of 16 KiB."""
    program = read_elf(built(case, *TOOLCHAINS))
    assert program is not None
    assert program.abi == case.abi
    assert program.interpreter in (None, "/system/bin/linker64")
    assert program.alignment is not None
    assert program.alignment % 16384 == 0
