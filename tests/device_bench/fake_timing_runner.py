"""A stand-in for an installed runner whose timings follow a known cost model, with noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from android_harness.device_facts import DeviceFacts
from android_harness.errors import IncompleteRunError
from android_harness.job import Job, Task
from android_harness.records import (
    EndRecord,
    HelloRecord,
    LoadRecord,
    MemoryRecord,
    Record,
    RunnerDevice,
    SampleRecord,
)
from device_bench.profile import CostModel

COST = CostModel(
    fixed_s=0.02,
    per_token_s=1e-4,
    per_attention_pair_s=2e-7,
    per_direction_s=3e-3,
    median_relative_error=None,
)
VOCABULARY_SIZE = 512
CONTEXT_LENGTH = 256
BASE_MEMORY_BYTES = 100_000_000
MEMORY_PER_TOKEN_BYTES = 10_000


class FakeInstalledRunner:
    """Answers time tasks as the native runner does; remembers the jobs it was given.

    Args:
        noise: relative standard deviation of a timing.
        drop_out_at: the index of the job at which the device disappears.
        seen_mask: what the kernel reads back in place of the mask that was asked for.
    """

    def __init__(
        self,
        *,
        noise: float = 0.0,
        drop_out_at: int | None = None,
        seen_mask: str | None = None,
        cpu_count: int = 8,
        runner_sha256: str = "b" * 64,
    ) -> None:
        self.target = SimpleNamespace(name="adb:FAKE")
        self.facts = DeviceFacts(
            manufacturer="Maker",
            model="Phone",
            soc=None,
            os="android",
            os_release="14",
            android_sdk=34,
            build_fingerprint=None,
            kernel=None,
            abi="arm64-v8a",
            abis=("arm64-v8a",),
            cpu_count=cpu_count,
            cpu_model=None,
            cpu_features=(),
            memory_total_bytes=8 << 30,
            page_size_bytes=4096,
        )
        architecture = SimpleNamespace(
            vocabulary_size=VOCABULARY_SIZE, context_length=CONTEXT_LENGTH
        )
        self.bundle = SimpleNamespace(
            sha256="a" * 64, manifest=SimpleNamespace(architecture=architecture)
        )
        self.runner_sha256 = runner_sha256
        self.jobs: list[Job] = []
        self._noise = noise
        self._drop_out_at = drop_out_at
        self._seen_mask = seen_mask
        self._generator = np.random.default_rng(7)

    def run(
        self,
        *,
        examples: Path,
        tasks: Sequence[Task],
        threads: int,
        cpu_mask: str | None = None,
        timeout_s: float | None = None,
    ) -> list[Record]:
        if len(self.jobs) == self._drop_out_at:
            raise IncompleteRunError("the device went away", device=self.target.name)
        job = Job(
            model="base.gguf",
            adapter="adapter.gguf",
            examples=str(examples),
            threads=threads,
            cpu_mask=cpu_mask,
            tasks=tuple(tasks),
        )
        self.jobs.append(job)
        (task,) = job.tasks
        assert task.kind == "time"
        lines = [json.loads(line) for line in examples.read_text().splitlines()]
        (tokens,) = {len(lines[index]["tokens"]) for index in task.batch}

        batch = len(task.batch)
        passes = 2
        expected_s = task.directions_per_pass * COST.probe_seconds(
            batch=batch,
            tokens=tokens,
            directions=task.directions_per_pass,
            estimator=task.estimator,
        )
        samples = []
        for number in range(task.warmup + task.repetitions):
            steady = number >= task.warmup
            slowdown = 1.0 + self._noise * self._generator.standard_normal()
            wall_ns = int(1e9 * expected_s * max(slowdown, 0.01) * (1 if steady else 10))
            samples.append(
                SampleRecord(
                    event="sample",
                    task=0,
                    repetition=number - task.warmup if steady else number,
                    phase="steady" if steady else "warmup",
                    directions=task.directions_per_pass,
                    passes=passes,
                    start_ns=number * 10**9,
                    wall_ns=wall_ns,
                    cpu_ns=wall_ns * threads,
                )
            )
        return [
            _HELLO,
            LoadRecord(
                event="load",
                backend="ggml-cpu",
                threads=threads,
                cpu_mask=self._seen_mask or cpu_mask,
                parameters=1000,
                weight_bytes=BASE_MEMORY_BYTES // 2,
                wall_ns=5_000_000,
                cpu_ns=4_000_000,
                lora_sha256="c" * 64,
            ),
            *samples,
            MemoryRecord(
                event="memory",
                task=0,
                vm_hwm_bytes=BASE_MEMORY_BYTES + MEMORY_PER_TOKEN_BYTES * batch * tokens,
                rss_anon_bytes=BASE_MEMORY_BYTES // 2,
                rss_file_bytes=BASE_MEMORY_BYTES // 2,
            ),
            EndRecord(event="end", status="ok", tasks_done=1),
        ]


_HELLO = HelloRecord(
    event="hello",
    schema_version=1,
    runner_version="0.1.0",
    ggml_version="test",
    compiler="none",
    architecture="aarch64",
    features=("DOTPROD",),
    devices=(RunnerDevice(name="CPU", description="fake", kind="cpu", memory_total_bytes=8 << 30),),
    pid=1,
)
