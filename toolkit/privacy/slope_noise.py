"""Noise that a client adds to its slopes before they leave it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from exporters.contract import Part


class SlopeNoise(Part):
    """Each slope is cut to [−clip, clip], then gets Gaussian noise of multiplier · clip.

    The Gaussian mechanism (Dwork & Roth, 2014, Theorem A.1) on scalars, on the client, so that
    the server itself never sees a slope without noise. What it is worth: `accountant.py`.
    `clip` is in the unit of slopes, nats per unit of direction.
    """

    clip: float = Field(gt=0, allow_inf_nan=False)
    multiplier: float = Field(gt=0, allow_inf_nan=False)

    def applied(
        self, slopes: NDArray[np.float32], generator: np.random.Generator
    ) -> NDArray[np.float32]:
        """The slopes as they may be sent, float32; a slope that is not finite counts as 0.

        Every slope that leaves the client must go through this once, those along an update too.
        Who can draw the generator's numbers again can take the noise off.
        """
        finite = np.nan_to_num(slopes.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        clipped = np.clip(finite, -self.clip, self.clip)
        noise = generator.normal(0.0, self.multiplier * self.clip, slopes.shape)
        return (clipped + noise).astype(np.float32)
