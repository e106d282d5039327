"""Records: what a native runner reports, one JSON object a line.

A stream without its `end` is an incomplete run, never a result.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from android_harness.errors import (
    IncompleteRunError,
    NotFiniteError,
    PushVerificationError,
    RunnerFailedError,
)
from exporters.contract import Part
from exporters.lora.combination import DirectionName

# Of a repetition: a process's first probes, those until it has settled, and those that count.
Phase = Literal["first", "warmup", "steady"]


class RunnerDevice(Part):
    """A compute device that the runner's backend sees."""

    name: str
    description: str
    kind: Literal["cpu", "gpu", "igpu", "accel"]
    memory_total_bytes: int


class HelloRecord(Part):
    event: Literal["hello"]
    schema_version: Literal[1]
    runner_version: str
    engine: str  # what computes: ggml, executorch
    engine_version: str
    compiler: str
    architecture: str  # of the build: x86_64, aarch64
    features: tuple[str, ...]  # instruction sets the build uses: AVX2, DOTPROD
    devices: tuple[RunnerDevice, ...]
    pid: int


class LoadRecord(Part):
    """The model is in memory; `lora_sha256` is the hash of the LoRA values after the updates."""

    event: Literal["load"]
    backend: str  # ggml-cpu, ggml-vulkan, xnnpack
    device: str = "CPU"
    threads: int
    cpu_mask: str | None  # read back from the kernel when one was asked for
    parameters: int
    weight_bytes: int
    wall_ns: int
    cpu_ns: int
    lora_sha256: str


class SampleRecord(Part):
    """One timed repetition of a time task: `directions` probes in `passes` forward passes.

    A tangent counts as one pass. Of a program of fixed sizes, passes are its runs.
    """

    event: Literal["sample"]
    task: int
    repetition: int
    phase: Phase
    directions: int
    passes: int
    start_ns: int  # since boot, sleep included: the clock of /proc/uptime and of telemetry
    wall_ns: int
    cpu_ns: int  # of the whole process, all threads


class WarmupRecord(Part):
    """How a time task's warm-up ended; `settled` is False when it ran out of time."""

    event: Literal["warmup"]
    task: int
    settled: bool
    repetitions: int
    wall_ns: int


class PaceRecord(Part):
    """How long one core took for a fixed chain of arithmetic, whatever the task computes.

    Of several runs, the shortest: before the first steady repetition and after the last. A longer
    one means a slower core: throttled, or another of the CPU mask.
    """

    event: Literal["pace"]
    task: int
    when: Literal["before", "after"]
    wall_ns: int


class ProbeRecord(Part):
    """A slope, in nats per unit of direction, with the losses it came from.

    `loss_plus` is the loss at θ + εv, `loss_minus` that at θ − εv under `central` and at θ under
    `forward`; both are the loss at θ under `tangent`.
    """

    event: Literal["probe"]
    task: int
    direction: DirectionName
    slope: float
    loss_plus: float
    loss_minus: float


class OperatorTime(Part):
    """What one operator of a program took over all its calls.

    A `kernel` is an operator of the engine's own, a `delegate` a whole call of the backend, into
    which the engine does not look; `control` moves values.
    """

    program: str
    place: Literal["kernel", "delegate", "control"]
    name: str
    calls: int
    wall_ns: int


class OperatorsRecord(Part):
    """How long operators took in the steady phase of a time task, for `directions`."""

    event: Literal["operators"]
    task: int
    directions: int
    operators: tuple[OperatorTime, ...]


class AlongRecord(Part):
    """The slope along the given vector, in nats per unit of it; losses as in a `probe`."""

    event: Literal["along"]
    task: int
    slope: float
    loss_plus: float
    loss_minus: float


class EvaluationRecord(Part):
    """Mean loss over `positions` targets; predictions are token ids, one per target position."""

    event: Literal["evaluation"]
    task: int
    loss: float
    positions: int
    predictions: tuple[int, ...]
    wall_ns: int
    cpu_ns: int


class MemoryRecord(Part):
    """Of /proc/self/status after a task; `vm_hwm_bytes` is the peak so far, kept by the kernel.

    `predicted_bytes`: what the runner expected the process to hold at the task's peak, before it
    allocated; None for evaluations.
    """

    event: Literal["memory"]
    task: int
    vm_hwm_bytes: int
    rss_anon_bytes: int
    rss_file_bytes: int
    predicted_bytes: int | None = None


class CoverageRecord(Part):
    """Where a task's operations ran: how many on the device, and which were left to the CPU.

    Only for devices other than the CPU; counted in one pass.
    """

    event: Literal["coverage"]
    task: int
    on_device: int
    on_cpu: dict[str, int]  # by ggml's name of the operation


class PrefixRecord(Part):
    """How many examples' states below the first moving layer a task computed, and found kept."""

    event: Literal["prefix"]
    task: int
    examples_computed: int
    examples_reused: int


class ErrorRecord(Part):
    event: Literal["error"]
    phase: Literal[
        "processor",  # lacks what the runner was built for
        "delivery",  # the job arrived damaged
        "job",
        "model",
        "adapter",
        "lora_values",
        "examples",
        "direction",
        "compute",
    ]
    message: str
    file: str | None


class EndRecord(Part):
    event: Literal["end"]
    status: Literal["ok", "error"]
    tasks_done: int


Record = (
    HelloRecord
    | LoadRecord
    | SampleRecord
    | WarmupRecord
    | PaceRecord
    | ProbeRecord
    | OperatorsRecord
    | AlongRecord
    | EvaluationRecord
    | MemoryRecord
    | CoverageRecord
    | PrefixRecord
    | ErrorRecord
    | EndRecord
)
RECORD_ADAPTER: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="event")])


def parse_records(text: str, *, device: str) -> list[Record]:
    """The records of a complete run.

    Raises:
        PushVerificationError: the runner found that its job was damaged on its way.
        RunnerFailedError: the runner reported an error; its message, phase and file are carried.
        NotFiniteError: a loss or a slope is no finite number.
        IncompleteRunError: the stream is cut, is not JSON Lines, or has no `end` record.
    """
    records: list[Record] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            records.append(RECORD_ADAPTER.validate_json(line))
        except ValidationError as error:
            if _is_not_finite(error):
                raise NotFiniteError(device=device) from error
            raise IncompleteRunError(
                f"line {number} of the runner's records is not a record: {line[:120]!r}",
                device=device,
            ) from error
    for record in records:
        if isinstance(record, ErrorRecord):
            if record.phase == "delivery":
                raise PushVerificationError(record.message, device=device, file=record.file)
            raise RunnerFailedError(
                record.message, device=device, phase=record.phase, file=record.file
            )
    if not records or not isinstance(records[-1], EndRecord):
        raise IncompleteRunError(
            f"the runner stopped after {len(records)} records without an end record", device=device
        )
    return records


def _is_not_finite(error: ValidationError) -> bool:
    """Whether all that is wrong are numbers that JSON cannot write: they arrive as null."""
    return all(each["type"] == "float_type" and each["input"] is None for each in error.errors())
