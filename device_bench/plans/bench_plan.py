"""What is to be measured, on whatever devices: a plan in YAML, or the same from a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from android_harness.facts.device_facts import DeviceFacts
from android_harness.job import STANDARD_WARMUP, Estimator
from device_bench.plans.cores import Placements, ThreadCount, placements_on
from device_bench.plans.plain_yaml import plain_yaml
from device_bench.plans.sweep_plan import SweepPlan, arms_of, settings_error, sweep_plan
from device_bench.statistics import MINIMUM_FOR_INTERVAL
from exporters.contract import Contract
from exporters.errors import ContractError
from exporters.lora.combination import Seed
from exporters.lora.request import layer_range
from exporters.manifest import Manifest

CPU = "cpu"
# So many jobs have an interval of 95 %, and twice as many where those differ too much: simulated by
# `bench/stop_rule.py`.
_BLOCKS = MINIMUM_FOR_INTERVAL
_MOST_BLOCKS = 12

Value = TypeVar("Value")
Listed = Annotated[tuple[Value, ...], Field(min_length=1)]
# A sweep lists all its jobs before the first.
Blocks = Annotated[int, Field(ge=1, le=1000)]
# YAML reads 0xf0 as a number.
CoresEntry = Annotated[
    str,
    BeforeValidator(
        lambda entry: hex(entry) if type(entry) is int else entry, json_schema_input_type=str | int
    ),
]

Celsius = Annotated[float, Field(gt=0, lt=100, strict=True)]
# YAML reads off as false.
Off = Annotated[Literal["off"], BeforeValidator(lambda entry: "off" if entry is False else entry)]


class BenchPlan(Contract):
    """Lists of values, of which every combination is measured, and how often.

    Attributes:
        bundles: folders; in a file relative to that.
        backends: `cpu`, or what `--device` names. A bundle for ExecuTorch has its own built in.
        batch: examples in a batch.
        tokens: tokens in an example.
        directions: directions evaluated in one pass.
        layers: whose LoRA moves: `all`, `last:N` or `A-B`.
        threads: numbers, or `cores`: as many as the cores have.
        cores: masks such as 0xf0, `any`, or names of clusters (`android_harness/facts`).
        blocks, most_blocks, precision: how often an arm is measured (`samples/stop_rule.py`);
            `blocks` null: 6, or `most_blocks` where that is fewer; `most_blocks` null: 12, or
            `blocks` where that is more.
        warmup, warmup_seconds: repetitions of each job before any counts, at least, and how long
            they go on at most (`Warmup`).
        repetitions: of each job, those that count.
        minimum_ms: how long a repetition lasts at least.
        seed: of the order and of the token sequences.
        profile_operators: also time operators one by one, of bundles for ExecuTorch.
        cooldown_above: degrees Celsius above which a job waits, or `off`; null: those of
            `conditions/cooldown.py`.
        cooldown_patience: seconds that a job waits at most; null likewise.
        sustained_minutes: how long an arm runs on end after the sweep; null: none does.
        sustained_arm: which, as `B,T,K` or `B,T,K,ESTIMATOR`; null: the largest.
    """

    word: ClassVar[str] = "bench plan"
    remedy: ClassVar[str] = "mend the plan; docs/measure.md says what it may hold"

    bundles: tuple[Path, ...] = ()
    backends: Listed[str] = (CPU,)
    batch: Listed[PositiveInt] = (1, 4)
    tokens: Listed[PositiveInt] = (32, 128)
    directions: Listed[PositiveInt] = (1, 8)
    estimator: Listed[Estimator] = get_args(Estimator)
    layers: Listed[str] = ("all",)
    threads: Listed[ThreadCount] = (1,)
    cores: Listed[CoresEntry] = ("any",)
    blocks: Blocks | None = None
    most_blocks: Blocks | None = None
    precision: Annotated[PositiveFloat, Field(allow_inf_nan=False)] | None = 0.05
    warmup: NonNegativeInt = STANDARD_WARMUP.least
    warmup_seconds: Annotated[NonNegativeFloat, Field(le=3600)] = STANDARD_WARMUP.most_ms / 1e3
    repetitions: PositiveInt = 3
    minimum_ms: NonNegativeInt = 100
    seed: Seed = 0
    profile_operators: bool = False
    cooldown_above: Celsius | Off | None = None
    cooldown_patience: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] | None = None
    sustained_minutes: Annotated[PositiveFloat, Field(allow_inf_nan=False)] | None = None
    sustained_arm: str | None = None

    @model_validator(mode="after")
    def _least_is_not_above_the_most(self) -> BenchPlan:
        least, most = self.blocks, self.most_blocks
        if least is not None and most is not None and least > most:
            raise ValueError(f"{self.blocks} blocks at least, {self.most_blocks} at most")
        return self

    @model_validator(mode="after")
    def _an_arm_that_runs_for_long_is_told_how_long(self) -> BenchPlan:
        if self.sustained_arm is not None and self.sustained_minutes is None:
            raise ValueError("sustained_arm without sustained_minutes runs nothing")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """The plan in a YAML file.

        Raises:
            ContractError: the file is missing, is not YAML, or is no plan; the message names the
                first offending fields.
        """
        try:
            text = plain_yaml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ContractError(
                f"cannot read the {cls.word}: {error.strerror or error}", file=path
            ) from error
        except ValueError as error:
            problem = " ".join(str(error).split())
            raise ContractError(
                f"the {cls.word} is not YAML: {problem}", remedy=cls.remedy, file=path
            ) from error
        plan = cls.parse(text, file=path)
        return plan.model_copy(
            update={"bundles": tuple(path.parent / bundle for bundle in plan.bundles)}
        )

    def changed(self, settings: Mapping[str, Any]) -> BenchPlan:
        """The plan with these fields in place of its own.

        Raises:
            SweepSettingsError: a value is out of range; the message names the field.
        """
        try:
            return BenchPlan.model_validate({**self.model_dump(), **settings})
        except ValidationError as error:
            raise settings_error(error) from error

    def placements(self, facts: DeviceFacts) -> Placements:
        """The threads and cores of the plan on a device; see `placements_on`.

        Raises:
            SweepSettingsError: the device can do none of them.
        """
        return placements_on(facts, self.threads, self.cores)

    def for_bundle(self, manifest: Manifest, placements: Placements) -> SweepPlan:
        """What is measured of the bundle on a device with these placements.

        Raises:
            ExportError: a range of layers is malformed or outside the model.
            SweepSettingsError: a combination is impossible.
        """
        layers = manifest.architecture.layers
        moving = [None if text == "all" else layer_range(text, layers) for text in self.layers]
        return sweep_plan(
            arms=arms_of(
                self.batch, self.tokens, self.directions, self.estimator, moving, placements.pairs
            ),
            warmup={"least": self.warmup, "most_ms": round(1e3 * self.warmup_seconds)},
            repetitions=self.repetitions,
            minimum_ms=self.minimum_ms,
            blocks=self.blocks or min(self.most_blocks or _BLOCKS, _BLOCKS),
            most_blocks=self.most_blocks or max(self.blocks or 0, _MOST_BLOCKS),
            precision=self.precision,
            seed=self.seed,
            loss_positions="last",
        )
