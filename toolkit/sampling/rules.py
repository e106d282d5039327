"""The choice of sampling rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from exporters.lora.combination import DirectionName
from toolkit.sampling.context import SamplingContext
from toolkit.sampling.plain import PlainSampling
from toolkit.sampling.seed_pool import SeedPool
from toolkit.sampling.tensor_filter import TensorFilter

Sampling = Annotated[PlainSampling | TensorFilter | SeedPool, Field(discriminator="kind")]


def propose(sampling: Sampling, context: SamplingContext, count: int) -> list[DirectionName]:
    """`count` directions for one increment, the same on every machine."""
    return sampling.propose(context, count)
