"""profile.json: what a device can do, fitted from samples, with uncertainty and expiry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from android_harness.facts.device_facts import DeviceFacts
from android_harness.job import Estimator
from device_bench.costs.cost_model import CostModel
from device_bench.costs.memory_model import MemoryModel
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape
from device_bench.numerics.contract import Numerics, SlopeError
from device_bench.profiles.version_2 import since_version_2
from device_bench.statistics import summarise
from exporters.contract import Contract, Migration, Part

Provenance = Literal["measured", "modelled"]
Verdict = Literal["valid", "suspect", "invalid"]


class Interval(Part):
    """A value with its 95 % confidence interval."""

    value: PositiveFloat
    low: NonNegativeFloat
    high: PositiveFloat

    @classmethod
    def of_median(cls, values: Sequence[float]) -> Self:
        """The median of one value or more, all positive (`statistics.summarise`)."""
        summary = summarise(values)
        return cls(value=summary.median, low=summary.low, high=summary.high)


class EnergyModel(Part):
    """Joules of a probe: watts · its seconds, above what an idle device takes.

    `watts` is the median over the arms whose energy was measured, with its 95 % interval.
    """

    watts: Interval
    # Leave-one-arm-out, of joules per probe; None when the energy of a single arm was measured.
    median_relative_error: NonNegativeFloat | None
    arms: PositiveInt


class RowFinding(Part):
    """What a policy found of some of an arm's jobs; they count like all others.

    `worst` says of the worst of them what was seen. More than a third of the jobs make the reason
    one of the row.
    """

    reason: str
    jobs: PositiveInt
    of: PositiveInt
    worst: str


class ArmSummary(Part):
    """The samples of one setting, summarised: seconds per probe and peak memory.

    The unit of `seconds_per_probe` is a job, by the median of its repetitions: those of one process
    resemble each other, and an interval that took them for independent would be too narrow.
    """

    batch: PositiveInt
    tokens: PositiveInt
    directions_per_pass: PositiveInt
    estimator: Estimator
    threads: PositiveInt
    repetitions: PositiveInt
    jobs: PositiveInt | None = None  # None: not told, and the interval is over repetitions
    seconds_per_probe: Interval  # of the median over jobs
    relative_spread: NonNegativeFloat  # 1.4826 · MAD / median
    outliers: NonNegativeInt = 0  # repetitions with a modified z-score above 3.5; none is dropped
    peak_memory_bytes: PositiveInt
    provenance: Provenance
    # The inclusive range of layers whose LoRA moved; None: all adapted layers.
    layers: tuple[NonNegativeInt, NonNegativeInt] | None = None
    # Above what an idle device takes (`fitting/arm_energy.py`); None: not measured beyond doubt.
    joules_per_probe: Interval | None = None
    # Per probe, of the first ones in a process; None: in samples of before they were told apart.
    first_seconds: Interval | None = None
    reasons: tuple[str, ...] = ()  # why this row is suspect, by the policies
    findings: tuple[RowFinding, ...] = ()  # of single jobs too

    @property
    def setting(self) -> Setting:
        return Setting(
            self.batch, self.tokens, self.estimator, self.directions_per_pass, self.layers
        )


class Sustained(Part):
    """One long run of an arm: its seconds per probe from a cool start on; measured.

    Attributes:
        seconds: how long it ran.
        burst_seconds_per_probe: of the arm's jobs in the sweep.
        steady_seconds_per_probe: over the last third of the run.
        factor: steady over burst.
        slowed_after_s: when it changed to a slower pace; None: no change was found.
        flattened: its last third rises no more.
        max_celsius: by sensor, of the hottest three; empty: not told.
    """

    batch: PositiveInt
    tokens: PositiveInt
    directions_per_pass: PositiveInt
    estimator: Estimator
    layers: tuple[NonNegativeInt, NonNegativeInt] | None
    threads: PositiveInt
    seconds: PositiveFloat
    burst_seconds_per_probe: Interval
    steady_seconds_per_probe: Interval
    factor: Interval
    slowed_after_s: NonNegativeFloat | None
    flattened: bool
    max_celsius: dict[str, FiniteFloat]


class Placement(Part):
    """Threads and cores on which all arms of a sweep were measured.

    `relative_seconds` is the geometric mean, over `arms` arms that all placements share, of its
    seconds over those of the chosen one; measured. None: they share none.
    """

    threads: PositiveInt
    cpu_mask: str | None  # hexadecimal; None: any core
    relative_seconds: PositiveFloat | None
    arms: NonNegativeInt
    chosen: bool


class BackendProfile(Part):
    """What one backend of the device can do.

    All but `placements` is of the one placement that was fastest. The models come in pairs, since
    tangents are computed otherwise than differences (`costs/cost_model.py`): `cost` and
    `memory` are of differences, `tangent_cost` and `tangent_memory` of tangents; None: no such
    probe was measured. They predict from the work that `shape` counts for a setting.
    """

    backend: str
    cost: CostModel | None
    cost_provenance: Provenance
    arms: tuple[ArmSummary, ...]
    peak_memory_bytes: PositiveInt
    verdict: Verdict
    reasons: tuple[str, ...]
    # Seconds of a device that has run for long over seconds of its arms; None: not measured.
    sustained_factor: Interval | None = None
    sustained: Sustained | None = None  # the long run that it is from
    tangent_cost: CostModel | None = None
    load_seconds: Interval | None = None  # of all jobs: until the model could compute
    slope_errors: tuple[SlopeError, ...] = ()  # one per estimator, where the bundle allows it
    shape: ModelShape | None = None  # None: nothing can be predicted
    memory: MemoryModel | None = None
    tangent_memory: MemoryModel | None = None
    energy: EnergyModel | None = None  # None: the energy of no arm was measured
    numerics: Numerics | None = None  # None: measured before there was a numeric gate
    placements: tuple[Placement, ...] = ()  # all that were measured, the fastest first

    def cost_of(self, estimator: Estimator) -> CostModel | None:
        """The model of the estimator's seconds."""
        return self.tangent_cost if estimator == "tangent" else self.cost

    def memory_of(self, estimator: Estimator) -> MemoryModel | None:
        """The model of the estimator's peak memory."""
        return self.tangent_memory if estimator == "tangent" else self.memory

    def modelled_seconds(self, setting: Setting) -> float | None:
        """Seconds per probe by the cost model, cool; None: it does not know the setting."""
        model = self.cost_of(setting.estimator)
        work = self.shape.work(setting) if self.shape is not None else None
        if model is None or work is None:
            return None
        return model.seconds(work) / setting.directions_per_pass

    def modelled_bytes(self, setting: Setting) -> float | None:
        """Peak memory by the memory model; None: it does not know the setting."""
        model = self.memory_of(setting.estimator)
        held = self.shape.held(setting) if self.shape is not None else None
        return None if model is None or held is None else model.peak_bytes(held)

    def pass_seconds(self, *, batch: int, tokens: int) -> float | None:
        """One forward pass over a batch, cool: what a probe by `forward` takes alone."""
        return self.modelled_seconds(Setting(batch, tokens, "forward", 1))

    def slope_error(self, estimator: Estimator) -> SlopeError | None:
        """How exact the estimator's slopes are; None: not measured."""
        return next((error for error in self.slope_errors if error.estimator == estimator), None)

    def is_noise(self, estimator: Estimator) -> bool:
        """Whether the estimator's slopes were measured and are of no use for training."""
        found = self.numerics.of(estimator) if self.numerics is not None else None
        return found is not None and not found.usable


class Comparison(Part):
    """What another bundle of the same model reaches on the same device."""

    bundle_sha256: str
    runner_sha256: str
    backends: tuple[BackendProfile, ...]


class Parameter(Part):
    """A number that a rule used; `source` says where it is from: measured, a device's own facts,
    literature, or `assumed`.
    """

    name: str
    value: FiniteFloat
    source: str


class Derivation(Part):
    """Why a profile has numbers that nobody measured on its device.

    `rule` says in words how they follow from the measurements on `measured_on` and from the
    parameters.
    """

    rule: str
    measured_on: str
    parameters: tuple[Parameter, ...]


def _since_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 adds `derivation`: the profiles before it were all of measured devices."""
    return {**document, "derivation": None}


class Profile(Contract):
    """The capability profile of one device for one bundle.

    `beside` holds what other bundles of the model reach there, such as a .gguf beside a .pte: to
    be looked at side by side, never allocated, since a run computes with one bundle.
    """

    word: ClassVar[str] = "capability profile"
    supported_version: ClassVar[int] = 3
    migrations: ClassVar[Mapping[int, Migration]] = {1: _since_version_1, 2: since_version_2}

    schema_version: Annotated[int, Field(strict=True)] = 3
    target: str
    device: DeviceFacts
    backends: tuple[BackendProfile, ...]
    bundle_sha256: str
    runner_sha256: str
    measured_at: AwareDatetime
    expires_at: AwareDatetime
    beside: tuple[Comparison, ...] = ()
    derivation: Derivation | None = None  # None: measured on this device

    @property
    def shown_backends(self) -> tuple[BackendProfile, ...]:
        """The bundle's backends, then those beside them."""
        others = (backend for each in self.beside for backend in each.backends)
        return (*self.backends, *others)

    def expired(self, now: datetime) -> bool:
        return now > self.expires_at
