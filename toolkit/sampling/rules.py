"""The choice of sampling rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toolkit.sampling.plain import PlainSampling
from toolkit.sampling.seed_pool import SeedPool
from toolkit.sampling.tensor_filter import TensorFilter

Sampling = Annotated[PlainSampling | TensorFilter | SeedPool, Field(discriminator="kind")]
