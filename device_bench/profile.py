"""profile.json: what a device can do, fitted from samples, with uncertainty and expiry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

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
from exporters.contract import Contract, Migration, Part

Provenance = Literal["measured", "modelled"]
Verdict = Literal["valid", "suspect", "invalid"]


class Interval(Part):
    """A value with its 95 % confidence interval."""

    value: PositiveFloat
    low: NonNegativeFloat
    high: PositiveFloat


class CostModel(Part):
    """Seconds of one forward pass over `directions` perturbed copies of a batch.

    seconds = fixed_s + per_token_s · B·T·D + per_attention_pair_s · B·T²·D + per_direction_s · D

    for a batch of B examples of T tokens, evaluated for D directions at once. `fixed_s` holds
    what does not depend on the batch, above all one read of the base weights. A central probe
    takes two passes per D directions, a forward probe one: its base pass is paid once for
    all probes of a batch, however many. D tangents take one pass over 1 + D copies, the point
    itself among them; attention and norms cost other amounts there, so a model prices either
    tangents or the other estimators, whichever it was fitted to.
    """

    fixed_s: NonNegativeFloat
    per_token_s: NonNegativeFloat
    per_attention_pair_s: NonNegativeFloat
    per_direction_s: NonNegativeFloat
    # Leave-one-arm-out, of seconds per probe; None when a single arm was measured.
    median_relative_error: NonNegativeFloat | None

    def pass_seconds(self, *, batch: int, tokens: int, directions: int) -> float:
        return (
            self.fixed_s
            + self.per_token_s * batch * tokens * directions
            + self.per_attention_pair_s * batch * tokens**2 * directions
            + self.per_direction_s * directions
        )

    def probe_seconds(
        self, *, batch: int, tokens: int, directions: int, estimator: Estimator
    ) -> float:
        """Expected wall seconds per probe when `directions` are evaluated at once."""
        copies = directions + 1 if estimator == "tangent" else directions
        one_pass = self.pass_seconds(batch=batch, tokens=tokens, directions=copies)
        return (2 if estimator == "central" else 1) * one_pass / directions


class SlopeError(Part):
    """How far a device's slopes are from the exact ones of the PyTorch model; measured.

    `relative_error` is ‖measured − exact‖₂ / ‖exact‖₂ over `directions` directions. It holds the
    error of quantized weights, which all estimators share, beside the estimator's own: rounding
    of activations, and for differences the step `epsilon`. Weights in float32 leave rounding
    alone to tangents, some 1e-6.
    """

    estimator: Estimator
    epsilon: PositiveFloat | None  # None: a tangent has no step
    directions: PositiveInt
    relative_error: NonNegativeFloat

    @property
    def slopes_per_exact_one(self) -> float:
        """How many of these slopes are worth one exact slope: 1 + e².

        A forward gradient is a sum of slopes times directions. Independent errors of variance e²
        add e² to the square of its length and nothing to its part along the gradient, so N such
        slopes align with the gradient as N / (1 + e²) exact ones do, as long as N is far below
        the number of parameters.
        """
        return 1 + self.relative_error**2


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
    """The samples of one setting, summarised: seconds per probe and peak memory."""

    batch: PositiveInt
    tokens: PositiveInt
    directions_per_pass: PositiveInt
    estimator: Estimator
    threads: PositiveInt
    repetitions: PositiveInt
    seconds_per_probe: Interval  # of the median over repetitions
    relative_spread: NonNegativeFloat  # 1.4826 · MAD / median
    outliers: NonNegativeInt = 0  # repetitions with a modified z-score above 3.5; none is dropped
    peak_memory_bytes: PositiveInt
    provenance: Provenance
    # The inclusive range of layers whose LoRA moved; None: all adapted layers.
    layers: tuple[NonNegativeInt, NonNegativeInt] | None = None
    # Above what an idle device takes (`energy.py`); None: not measured, or not beyond doubt.
    joules_per_probe: Interval | None = None
    # Per probe, of the first ones in a process; None: in samples of before they were told apart.
    first_seconds: Interval | None = None
    reasons: tuple[str, ...] = ()  # why this row is suspect, by the policies
    findings: tuple[RowFinding, ...] = ()  # of single jobs too


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

    All but `placements` is of the one placement that was fastest. The cost models are of probes
    that move all adapted layers: `cost` of differences, `tangent_cost` of tangents; None: no such
    probe was measured.
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
    placements: tuple[Placement, ...] = ()  # all that were measured, the fastest first

    def cost_of(self, estimator: Estimator) -> CostModel | None:
        """The model of the estimator's seconds."""
        return self.tangent_cost if estimator == "tangent" else self.cost

    def modelled_seconds(self, arm: ArmSummary) -> float | None:
        """What the cost models say of an arm's seconds per probe; None: they do not know it."""
        model = self.cost_of(arm.estimator)
        if model is None or arm.layers is not None:
            return None
        return model.probe_seconds(
            batch=arm.batch,
            tokens=arm.tokens,
            directions=arm.directions_per_pass,
            estimator=arm.estimator,
        )

    def slope_error(self, estimator: Estimator) -> SlopeError | None:
        """How exact the estimator's slopes are; None: not measured."""
        return next((error for error in self.slope_errors if error.estimator == estimator), None)


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
    supported_version: ClassVar[int] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: _since_version_1}

    schema_version: Annotated[int, Field(strict=True)] = 2
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
