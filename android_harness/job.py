"""The job file: what the native runner is asked to do, in one JSON file on the device.

Paths are relative to the job file's folder or absolute on the device. The runner performs the
tasks in order and writes one record per event (see `records.py`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from exporters.contract import Contract, Part
from exporters.lora.combination import Combination, DirectionName, Seed
from exporters.lora.directions import Distribution
from exporters.lora.support import EVERYTHING, Support

Estimator = Literal["central", "forward", "tangent"]


class VocabularyLoss(Part):
    """Cross entropy over the whole vocabulary at every position that has a target."""

    kind: Literal["vocabulary"] = "vocabulary"


class VerbalizerLoss(Part):
    """Cross entropy over the label tokens alone (classification by prompt and verbalizer).

    Targets are token ids and must be among `tokens`. `shifts`, in nats, are added to the tokens'
    logits; none: nothing is.
    """

    kind: Literal["verbalizer"] = "verbalizer"
    tokens: tuple[int, ...] = Field(min_length=2)
    shifts: tuple[FiniteFloat, ...] = ()

    @model_validator(mode="after")
    def _one_shift_for_each_token(self) -> VerbalizerLoss:
        if len(self.shifts) not in (0, len(self.tokens)):
            raise ValueError(f"{len(self.shifts)} shifts for {len(self.tokens)} tokens")
        return self


Loss = Annotated[VocabularyLoss | VerbalizerLoss, Field(discriminator="kind")]


class Measuring(Part):
    """How a slope is measured; `batch` lists examples by their line in the examples file.

    `central` and `forward` need `epsilon`; `tangent` is exact and does not look at it. Products
    with quantized weights round their inputs to 8 bits; with `refine` those of the loss's own
    values, which decide most of a tangent's error, are seen to 16 bits, for one pass more.
    """

    batch: tuple[NonNegativeInt, ...] = Field(min_length=1)
    estimator: Estimator = "central"
    epsilon: PositiveFloat | None = None
    refine: bool = False

    @model_validator(mode="after")
    def _differences_need_a_step(self) -> Measuring:
        if self.epsilon is None and self.estimator != "tangent":
            raise ValueError(f"the estimator {self.estimator} needs epsilon")
        return self


class Probing(Measuring):
    """How slopes along named directions are measured.

    A direction is zero outside `support`, whose `head` says nothing here: the bundles that the
    native runner reads have no classification head. Without `directions_per_pass` as many share a
    pass as the job's `memory_bytes` allow; without these either, 8 tangents or one copy.
    """

    distribution: Distribution = "rademacher"
    directions_per_pass: PositiveInt | None = None
    support: Support = EVERYTHING


class ProbeTask(Probing):
    """Measure one slope per direction; a `probe` record each, in their order."""

    kind: Literal["probe"] = "probe"
    directions: tuple[DirectionName, ...] = Field(min_length=1)


class AlongTask(Measuring):
    """Measure one slope along a vector that a file holds, into an `along` record.

    `direction`: raw little-endian float32 [parameters] in layout order. The step is ε times the
    vector, whatever its length.
    """

    kind: Literal["along"] = "along"
    direction: str


class Warmup(Part):
    """How long a process repeats before repetitions count.

    It goes on until it has settled: medians of the older and the newer half of its recent
    repetitions differ by `tolerance` at most (`runner/src/common/warmup.h` has the rule, and why).
    That takes `least` repetitions, never fewer than 6, and a thirtieth of `most_ms`. None begins
    after `most_ms`; 0: there is no warm-up, and nothing is shown to have settled.
    """

    least: NonNegativeInt = Field(default=6, le=1_000_000)
    most_ms: NonNegativeInt = Field(default=60_000, le=3_600_000)
    tolerance: PositiveFloat = Field(default=0.04, allow_inf_nan=False)

    def least_seconds(self, repetition: float) -> float:
        """How soon repetitions that take so many seconds can have settled, or time is over."""
        most = self.most_ms / 1e3
        return min(max(most / 30, max(self.least, 6) * repetition), most)


STANDARD_WARMUP = Warmup()
NO_WARMUP = Warmup(least=0, most_ms=0)


class TimeTask(Probing):
    """Time probes in three phases, with a `sample` record per repetition.

    `first` is one repetition of `directions_per_pass` directions: what a process pays for its
    first probes, such as the compilation of GPU kernels, states of frozen layers, and the one base
    pass of `forward`. Then come those of `warmup`, and a `warmup` record. Then `repetitions` are
    `steady`, between two `pace` records: each measures `directions_per_pass` directions, and again
    as many until it has lasted `minimum_ns`. Directions are new ones all the time, those of the
    seeds from `first_seed` on. With `operators` an `operators` record says how long each operator
    took in the steady phase; that slows small ones down.
    """

    kind: Literal["time"] = "time"
    warmup: Warmup = STANDARD_WARMUP
    repetitions: PositiveInt
    minimum_ns: NonNegativeInt = 0
    first_seed: Seed = 1
    operators: bool = False


class EvaluateTask(Part):
    """Evaluate examples: loss and predicted tokens, in an `evaluation` record."""

    kind: Literal["evaluate"] = "evaluate"
    batch: tuple[NonNegativeInt, ...] = Field(min_length=1)


Task = Annotated[ProbeTask | AlongTask | TimeTask | EvaluateTask, Field(discriminator="kind")]


class PrefixPolicy(Part):
    """What is kept of the layers below the first that a task's directions move.

    Their output depends on the example and on weights that stay, so it is computed once: `bytes`
    of it are kept in memory, the latest used, and as many in `folder`, where they outlive the
    run. What is kept there is found again by the hash of all that it depends on, so `folder`
    needs the SHA-256 of the model's file.
    """

    bytes: PositiveInt
    precision: Literal["float16", "float32"] = "float16"
    folder: str | None = None
    model_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _a_folder_needs_the_models_hash(self) -> PrefixPolicy:
        if self.folder is not None and self.model_sha256 is None:
            raise ValueError("a folder of kept states needs model_sha256")
        return self


class Job(Contract):
    """One run of a native runner.

    `model` is the base model's GGUF file, or the manifest of a bundle for ExecuTorch; then `files`
    says where the other files are that the manifest names.

    LoRA values are `lora_values` (raw little-endian float32 [parameters] in layout order), or the
    adapter's own when None. `updates` are added first, in order, as `Combination.add_to` does:
    θ ← θ + coefficient · direction in float32. Rademacher ones keep every replica bit-identical;
    Gaussian ones agree within 1e-6 only. The result is written to `lora_values_out` when given.

    What ExecuTorch's runner cannot do it refuses: `device`, `memory_bytes`, `prefix` and `refine`.
    ggml's refuses `operators`.

    `device` is the one that computes, by its name (Vulkan0) or by its backend's (vulkan: the first
    of them); None: the CPU.

    The process takes at most `memory_bytes`: a task whose predicted peak is above fails before it
    allocates.
    """

    word: ClassVar[str] = "job"

    model: str
    adapter: str
    examples: str
    files: dict[str, str] = Field(default_factory=dict)
    lora_values: str | None = None
    updates: tuple[Combination, ...] = ()
    lora_values_out: str | None = None
    loss: Loss = VocabularyLoss()
    threads: PositiveInt
    device: str | None = None
    cpu_mask: str | None = Field(default=None, pattern=r"^0x[0-9a-fA-F]{1,128}$")
    memory_bytes: PositiveInt | None = None
    prefix: PrefixPolicy | None = None
    tasks: tuple[Task, ...] = ()
