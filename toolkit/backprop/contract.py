"""How a baseline by backpropagation is run, and what each of its rounds cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from exporters.contract import Part
from exporters.lora.combination import Seed
from exporters.lora.support import EVERYTHING, Support
from toolkit.training.contract import Evaluation


class Sgd(Part):
    """Plain stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"
    rate: PositiveFloat


class Adam(Part):
    """Adam with bias correction (Kingma & Ba, ICLR 2015, Algorithm 1)."""

    kind: Literal["adam"] = "adam"
    rate: PositiveFloat = 1e-3
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: PositiveFloat = 1e-8


Optimizer = Annotated[Sgd | Adam, Field(discriminator="kind")]


class FedAvg(Part):
    """Clients train for themselves, the server averages (McMahan et al., AISTATS 2017).

    Each client passes `epochs` times over its examples in batches drawn for the round, but takes
    at most `most_steps` steps. Its optimizer begins anew in every round. Values are averaged by
    the number of examples that each client has.
    """

    kind: Literal["fedavg"] = "fedavg"
    epochs: PositiveInt = 1
    most_steps: PositiveInt | None = None
    optimizer: Optimizer = Adam()


class FedSgd(Part):
    """Clients compute the gradient of one batch, the server steps along their average.

    Gradients are averaged by the number of examples in each batch; the optimizer is the server's
    and lasts through the run.
    """

    kind: Literal["fedsgd"] = "fedsgd"
    optimizer: Optimizer = Adam(rate=1e-2)


class BackpropConfig(Part):
    """What decides the result of a baseline's run, beside the model, the data and the clients.

    Rates fall linearly over the rounds with `annealing`. `support` says which parameters move:
    a model without adapted layers and only its head is the head-only baseline, whose gradient
    needs no pass backwards through the encoder.
    """

    rounds: PositiveInt
    clients: PositiveInt | None = None  # asked in a round; None: all
    batch: PositiveInt = 8
    method: Annotated[FedAvg | FedSgd, Field(discriminator="kind")] = FedAvg()
    annealing: Literal["linear", "none"] = "linear"
    support: Support = EVERYTHING
    seed: Seed = 0
    evaluate_every: PositiveInt = 1


class BackpropRound(Part):
    """One round; round 0 is the evaluation of the start.

    A pass is one batch through the adapted layers. Bytes are the trained parameters in float32,
    once to each client and once back.
    """

    round: NonNegativeInt
    loss: float | None  # mean over the round's batches, before their steps
    clients: NonNegativeInt
    forward_passes: NonNegativeInt
    backward_passes: NonNegativeInt
    example_passes: NonNegativeInt  # examples that went forwards
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    seconds: NonNegativeFloat  # of this process, without the evaluation
    values_sha256: str  # after the round
    evaluation: Evaluation | None = None
