"""A stand-in for an installed runner whose timings follow known cost models, with noise.

Its slopes have known errors too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import numpy as np

from android_harness.errors import IncompleteRunError
from android_harness.facts.device_facts import DeviceFacts
from android_harness.job import Job, PrefixPolicy, Task, TimeTask
from android_harness.records import (
    EndRecord,
    HelloRecord,
    LoadRecord,
    MemoryRecord,
    PaceRecord,
    Phase,
    Record,
    RunnerDevice,
    SampleRecord,
    WarmupRecord,
)
from android_harness.target import CommandResult
from device_bench.costs.cost_model import CostModel
from device_bench.costs.model_shape import model_shape
from device_bench.costs.setting import Setting
from exporters.lora.layout import LoraLayout
from exporters.manifest import Architecture, Parity, SlopeReference, TensorTypes
from tests.device_bench.fake_numbers import FakeNumbers

COST = CostModel(
    fixed_s=0.02,
    s_per_weight_byte=2e-7,
    s_per_flop=1.2e-9,
    s_per_attention_flop=8e-10,
    s_per_moved_parameter=1.5e-6,
    median_relative_error=None,
)
TANGENT_COST = CostModel(
    fixed_s=0.03,
    s_per_weight_byte=4e-7,
    s_per_flop=1.8e-9,
    s_per_attention_flop=2e-9,
    s_per_moved_parameter=0.5e-6,
    median_relative_error=None,
)
# Of the slopes by each estimator.
RELATIVE_ERRORS = {"central": 0.125, "forward": 0.5, "tangent": 0.03125}
# How much slower than a steady repetition.
SLOWER: dict[Phase, int] = {"first": 50, "warmup": 10, "steady": 1}
LOAD_NS = 5_000_000
PACE_NS = 2_000_000
LAYERS = 6
ADAPTED_LAYERS = (2, 3, 4, 5)
HIDDEN_SIZE = 32
VOCABULARY_SIZE = 512
CONTEXT_LENGTH = 256
BASE_MEMORY_BYTES = 100_000_000
MEMORY_PER_COLUMN_BYTES = 10_000
ARCHITECTURE = Architecture(
    family="llama",
    layers=LAYERS,
    hidden_size=HIDDEN_SIZE,
    feed_forward_size=64,
    heads=4,
    key_value_heads=4,
    head_size=8,
    vocabulary_size=VOCABULARY_SIZE,
    context_length=CONTEXT_LENGTH,
    rope_theta=1e4,
    rope_scaling=None,
    rms_norm_epsilon=1e-5,
    tied_embeddings=False,
    attention_bias=False,
)
LORA = LoraLayout.from_shapes(
    {
        (layer, module, matrix): (4, HIDDEN_SIZE) if matrix == "A" else (HIDDEN_SIZE, 4)
        for layer in ADAPTED_LAYERS
        for module in ("q_proj", "v_proj")
        for matrix in "AB"
    },
    rank=4,
    alpha=8.0,
)
MANIFEST = SimpleNamespace(
    format="gguf",
    quantization="q8_0",
    architecture=ARCHITECTURE,
    lora=LORA,
    tensor_types=tuple(
        TensorTypes(tensor_class=name, types={"q8_0": 1})
        for name in ("attention", "feed_forward", "output")
    ),
    programs=(),
)
SHAPE = model_shape(MANIFEST, "last")  # type: ignore[arg-type]

# What a phone says of itself that is in a state to be measured in.
FIT = """
@@fwdllm files
/proc/uptime=86400.00
@@fwdllm battery
  USB powered: false
  present: true
  level: 80
  scale: 100
  temperature: 300
@@fwdllm thermal
Thermal Status: 0
Current temperatures from HAL:
	Temperature{mValue=31.0, mType=3, mName=skin, mStatus=0}
	Temperature{mValue=36.0, mType=0, mName=BIG, mStatus=0}
@@fwdllm power
  mWakefulness=Awake
@@fwdllm low-power
0
"""

REFERENCE = SlopeReference(
    sequences=((1, 2, 3, 4), (5, 6, 7, 8)), directions=(11, 12, 13), slopes=(1.0, -2.0, 0.5)
)
EXACT = dict(zip(REFERENCE.directions, REFERENCE.slopes, strict=True))
PARITY = Parity(
    engine="none",
    sequences=2,
    tokens=3,
    reference_loss=6.0,
    artifact_loss=6.0,
    relative_loss_difference=0.0,
    directions=3,
    epsilon=0.02,
    slope_cosine=0.99,
    reference=REFERENCE,
)


def known_seconds(setting: Setting) -> float:
    """What the fake takes for a probe."""
    work = SHAPE.work(setting)
    assert work is not None
    cost = TANGENT_COST if setting.estimator == "tangent" else COST
    return cost.seconds(work) / setting.directions_per_pass


def known_peak_bytes(setting: Setting) -> int:
    """Of the process that measures it."""
    held = SHAPE.held(setting)
    assert held is not None
    return BASE_MEMORY_BYTES + int(MEMORY_PER_COLUMN_BYTES * held.columns)


class FakeInstalledRunner:
    """Answers time and probe tasks as the native runner does; remembers the jobs it was given.

    Args:
        noise: relative standard deviation of a timing.
        drop_out_at: the index of the timed job at which the device disappears.
        seen_mask: what the kernel reads back in place of the mask that was asked for.
        settled: what its warm-ups end with.
        parity: of the bundle's manifest.
        numbers: what it computes for the numeric gate; by default what the parity says, with slopes
            that are off by `RELATIVE_ERRORS`.
        drop_out_in_gate_at: the same of the gate's jobs.
    """

    def __init__(
        self,
        *,
        noise: float = 0.0,
        drop_out_at: int | None = None,
        seen_mask: str | None = None,
        settled: bool = True,
        cpu_count: int = 8,
        runner_sha256: str = "b" * 64,
        parity: Parity | None = None,
        numbers: FakeNumbers | None = None,
        drop_out_in_gate_at: int | None = None,
    ) -> None:
        self.target = SimpleNamespace(
            name="adb:FAKE",
            workspace=PurePosixPath("/data/local/tmp/fwdllm"),
            check=lambda command, **_: CommandResult(0, FIT.encode(), b""),
        )
        self.patience_s = 0.0
        self.engine = "ggml"
        self.device = None
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
        manifest = SimpleNamespace(**vars(MANIFEST), parity=parity)
        self.bundle = SimpleNamespace(sha256="a" * 64, manifest=manifest)
        self.runner_sha256 = runner_sha256
        self.jobs: list[Job] = []  # those that timed
        self.gate_jobs: list[Job] = []
        self.numbers = numbers or FakeNumbers(exact=EXACT, relative_errors=RELATIVE_ERRORS)
        self._drop_out_in_gate_at = drop_out_in_gate_at
        self.names: list[str | None] = []
        self._noise = noise
        self._drop_out_at = drop_out_at
        self._seen_mask = seen_mask
        self._settled = settled
        self._generator = np.random.default_rng(7)

    def run(
        self,
        *,
        examples: Path,
        tasks: Sequence[Task],
        threads: int,
        cpu_mask: str | None = None,
        prefix: PrefixPolicy | None = None,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> list[Record]:
        times = any(isinstance(task, TimeTask) for task in tasks)
        jobs = self.jobs if times else self.gate_jobs
        if len(self.jobs) == self._drop_out_at and times:
            self.names.append(name)
            raise IncompleteRunError("the device went away", device=self.target.name)
        if len(self.gate_jobs) == self._drop_out_in_gate_at and not times:
            raise IncompleteRunError("the device went away", device=self.target.name)
        self.numbers.begin_process()
        job = Job(
            model="base.gguf",
            adapter="adapter.gguf",
            examples=str(examples),
            threads=threads,
            cpu_mask=cpu_mask,
            prefix=prefix,
            tasks=tuple(tasks),
        )
        jobs.append(job)
        if times:
            self.names.append(name)
        load = LoadRecord(
            event="load",
            backend="ggml-cpu",
            threads=threads,
            cpu_mask=self._seen_mask or cpu_mask,
            parameters=1000,
            weight_bytes=BASE_MEMORY_BYTES // 2,
            wall_ns=LOAD_NS,
            cpu_ns=4_000_000,
            lora_sha256="c" * 64,
        )
        done: list[Record] = []
        for number, task in enumerate(job.tasks):
            if isinstance(task, TimeTask):
                done += self._timed(number, task, examples, threads)
            else:
                done += self.numbers.answer(number, task)
        end = EndRecord(event="end", status="ok", tasks_done=len(job.tasks))
        return [_HELLO, load, *done, end]

    def _timed(self, number: int, task: TimeTask, examples: Path, threads: int) -> list[Record]:
        lines = [json.loads(line) for line in examples.read_text().splitlines()]
        (tokens,) = {len(lines[index]["tokens"]) for index in task.batch}
        batch, at_once = len(task.batch), task.directions_per_pass
        assert at_once is not None
        passes = {"central": 2, "forward": 1, "tangent": 1 + at_once}[task.estimator]
        setting = Setting(batch, tokens, task.estimator, at_once, task.support.layers)
        expected_s = at_once * known_seconds(setting)
        samples: list[Record] = []
        warmups = task.warmup.least if task.warmup.most_ms > 0 else 0
        phases: dict[Phase, int] = {"first": 1, "warmup": warmups, "steady": task.repetitions}
        for phase, repetitions in phases.items():
            for repetition in range(repetitions):
                slowdown = 1.0 + self._noise * self._generator.standard_normal()
                wall_ns = int(1e9 * expected_s * max(slowdown, 0.01) * SLOWER[phase])
                samples.append(
                    SampleRecord(
                        event="sample",
                        task=number,
                        repetition=repetition,
                        phase=phase,
                        directions=at_once,
                        passes=passes,
                        start_ns=len(samples) * 10**9,
                        wall_ns=wall_ns,
                        cpu_ns=wall_ns * threads,
                    )
                )
        warmup = WarmupRecord(
            event="warmup", task=number, settled=self._settled, repetitions=warmups, wall_ns=0
        )
        paces = [
            PaceRecord(event="pace", task=number, when=when, wall_ns=PACE_NS)
            for when in ("before", "after")
        ]
        memory = MemoryRecord(
            event="memory",
            task=number,
            vm_hwm_bytes=known_peak_bytes(setting),
            rss_anon_bytes=BASE_MEMORY_BYTES // 2,
            rss_file_bytes=BASE_MEMORY_BYTES // 2,
        )
        return [*samples, warmup, *paces, memory]


_HELLO = HelloRecord(
    event="hello",
    schema_version=1,
    runner_version="0.1.0",
    engine="ggml",
    engine_version="test",
    compiler="none",
    architecture="aarch64",
    features=("DOTPROD",),
    devices=(RunnerDevice(name="CPU", description="fake", kind="cpu", memory_total_bytes=8 << 30),),
    pid=1,
)
