"""The runner for phones, under emulation, when it was built and an emulator is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest

from android_harness.building.runner_build import host_abi, runner_path
from android_harness.job import EvaluateTask, ProbeTask
from android_harness.records import EvaluationRecord, LoadRecord, ProbeRecord, parse_records
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from tests.android_harness.runner.runner_models import Shape, make_bench, random_sequences

EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


@pytest.mark.skipif(host_abi() == "arm64-v8a", reason="this machine is an arm64 machine itself")
@pytest.mark.skipif(EMULATOR is None, reason="qemu-aarch64 is not installed")
@pytest.mark.parametrize("kind", ["F32", "Q4_0", "Q8_0"])
def test_arm64_computes_what_this_machine_computes(
    kind: str, tmp_path: Path, runner_binary: Path
) -> None:
    runner = runner_path("arm64-v8a")
    if not runner.is_file():
        pytest.skip("not built: fwdllm runner build --abi arm64-v8a")
    bench = make_bench(tmp_path, Shape(), gguf.GGMLQuantizationType[kind])
    bench.write_examples(random_sequences([20, 12], bench.shape.vocabulary))
    everywhere = Combination(pairs=((3, 0.01), (tuple(range(len(bench.layout.tensors))), 0.02)))
    somewhere = Combination(support=Support(layers=(1, 1), matrices="B"), pairs=((4, -0.02),))
    updates = (everywhere, somewhere)
    tasks = (
        EvaluateTask(batch=(0, 1)),
        ProbeTask(batch=(0, 1), estimator="tangent", directions=(1, 2, 3, 4, 5)),
    )
    here = bench.run(*tasks, updates=updates)
    emulated = subprocess.run(
        [str(EMULATOR), "-cpu", "max", runner, bench.job(*tasks, updates=updates)],
        capture_output=True,
        text=True,
        check=True,
    )
    there = parse_records(emulated.stdout, device="emulated")
    (loss_here,) = (r.loss for r in here if isinstance(r, EvaluationRecord))
    (loss_there,) = (r.loss for r in there if isinstance(r, EvaluationRecord))
    assert loss_there == pytest.approx(loss_here, rel=1e-5 if kind == "F32" else 1e-2)
    slopes_here, slopes_there = (
        np.array([record.slope for record in records if isinstance(record, ProbeRecord)])
        for records in (here, there)
    )
    error = np.linalg.norm(slopes_there - slopes_here) / np.linalg.norm(slopes_here)
    assert error < (1e-5 if kind == "F32" else 0.05)
    (hash_here,) = (r.lora_sha256 for r in here if isinstance(r, LoadRecord))
    (hash_there,) = (r.lora_sha256 for r in there if isinstance(r, LoadRecord))
    assert hash_there == hash_here
