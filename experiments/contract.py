"""An experiment as declared, and what a finished one leaves in the output folder."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from exporters.contract import Contract, Part
from toolkit.backprop.contract import BackpropConfig
from toolkit.data.partition import Partition
from toolkit.simulation.encoder_model import EncoderTuning
from toolkit.simulation.memory import MemoryMethod
from toolkit.training.contract import TrainingConfig


class EncoderModel(Part):
    """The MiniLM encoder with LoRA and a classification head."""

    kind: Literal["minilm"] = "minilm"
    tuning: EncoderTuning


class CausalModel(Part):
    """The stories260K LLaMA with LoRA; labels are single tokens after a prompt."""

    kind: Literal["stories260K"] = "stories260K"
    rank: PositiveInt = 4
    alpha: PositiveFloat = 8.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    layers: str = "all"
    seed: NonNegativeInt = 0


Model = Annotated[EncoderModel | CausalModel, Field(discriminator="kind")]


class Problem(Part):
    """AG News, divided over clients.

    `rows` of the training file are drawn once for all problems, and divided with `seed`. Examples
    are cut to `tokens`; the accuracy is that of the first `held_out` rows of the test file in a
    random order, which is the same for all problems.
    """

    model: Model
    partition: Partition
    clients: PositiveInt = 100
    rows: PositiveInt = 20_000
    held_out: int = Field(default=2_000, ge=1, le=7_600)
    tokens: PositiveInt = 64
    seed: NonNegativeInt = 0


class ForwardRun(Part):
    """Training by forward gradients through the product's own server."""

    kind: Literal["forward"] = "forward"
    config: TrainingConfig


class BackpropRun(Part):
    """A baseline by backpropagation, or by the exact gradient of the head alone."""

    kind: Literal["backprop"] = "backprop"
    config: BackpropConfig


class Experiment(Part):
    """One run. `method` is its line in the table or plot of its `group`."""

    group: str
    method: str
    problem: Problem
    run: Annotated[ForwardRun | BackpropRun, Field(discriminator="kind")]

    @property
    def name(self) -> str:
        return f"{self.group}.{self.method}.{self.problem.seed}".replace(" ", "-").lower()


class RoundResult(Part):
    """One round, with its own counts and not those of the rounds before it.

    A forward pass is one batch through the adapted layers, with the values of one vector. A
    tangent counts as one more pass over its batch. `examples` counts each example of each
    forward pass.
    """

    round: NonNegativeInt
    clients: NonNegativeInt
    probes: NonNegativeInt
    forward_passes: NonNegativeInt
    backward_passes: NonNegativeInt
    examples: NonNegativeInt
    slowest_forward: NonNegativeInt  # examples forwards, of the client with the most of them
    slowest_backward: NonNegativeInt  # ... and backwards
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    loss: float | None = None  # held out
    accuracy: float | None = None


class RunResult(Contract):
    """A finished run; `parameters` are all that are trained, `mean_tokens` of an example."""

    word: ClassVar[str] = "result of an experiment"

    experiment: Experiment
    parameters: PositiveInt
    mean_tokens: PositiveFloat
    rounds: tuple[RoundResult, ...]
    stopped: str | None
    seconds: NonNegativeFloat  # of this machine, for nothing but planning
    versions: dict[str, str]

    @property
    def final_accuracy(self) -> float | None:
        """Of the last evaluation."""
        found = [one.accuracy for one in self.rounds if one.accuracy is not None]
        return found[-1] if found else None

    def reaches(self, accuracy: float) -> int | None:
        """The first round whose evaluation is at least this good; None: never."""
        return next(
            (
                one.round
                for one in self.rounds
                if one.accuracy is not None and one.accuracy >= accuracy
            ),
            None,
        )


class MemoryResult(Contract):
    """Peak memory of one client's step under each method, {method: (loaded, peak)} in bytes."""

    word: ClassVar[str] = "result of the memory experiment"

    batch: PositiveInt
    tokens: PositiveInt
    rows: dict[MemoryMethod, tuple[int, int]]
    versions: dict[str, str]


class PolicyResult(Part):
    """A policy on one fleet; seconds are modelled, None where that round never had its probes."""

    policy: str
    seed: NonNegativeInt
    median_s: PositiveFloat | None
    p95_s: PositiveFloat | None
    complete_share: float


class AllocationResult(Contract):
    """What policies of dividing a round's probes make of drawn fleets."""

    word: ClassVar[str] = "result of the allocation experiment"

    phones: PositiveInt
    probes: PositiveInt
    trials: PositiveInt
    rows: tuple[PolicyResult, ...]
    versions: dict[str, str]
