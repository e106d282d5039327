"""Noise that a client adds to its slopes before they leave it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from exporters.contract import Part
from toolkit.errors import TrainingError
from toolkit.protocol.order import Answer


class SlopeNoise(Part):
    """Each slope is cut to [−clip, clip], then gets Gaussian noise of multiplier · clip.

    The Gaussian mechanism (Dwork & Roth, 2014, Theorem A.1) on scalars, on the client, so that
    the server itself never sees a slope without noise. What it is worth: `accountant.py`.
    `clip` is in the unit of slopes, nats per unit of direction.
    """

    clip: float = Field(gt=0, allow_inf_nan=False)
    multiplier: float = Field(gt=0, allow_inf_nan=False)

    def applied(
        self, slopes: NDArray[np.float32], generator: np.random.Generator | None = None
    ) -> NDArray[np.float32]:
        """The slopes as they may be sent, float32; a slope that is not finite counts as 0.

        Every slope that leaves the client must go through this once, those along an update too.

        Args:
            generator: for tests alone: who can draw its numbers again can take the noise off.
                None: a new one, seeded by the operating system.
        """
        generator = np.random.default_rng() if generator is None else generator
        finite = np.nan_to_num(slopes.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        clipped = np.clip(finite, -self.clip, self.clip)
        noise = generator.normal(0.0, self.multiplier * self.clip, slopes.shape)
        return (clipped + noise).astype(np.float32)

    def protect(self, answer: Answer, generator: np.random.Generator | None = None) -> Answer:
        """The answer as it may be sent: noisy slopes, and NaN for the loss, which is withheld.

        Raises:
            TrainingError: the answer holds an exact gradient of the head, which this does not
                protect.
        """
        if answer.head_gradient is not None:
            raise TrainingError(
                "noise on slopes does not hide an exact gradient of the classification head",
                remedy="train the head by probes, or switch privacy off",
            )
        along = answer.along_slope
        if along is not None:
            along = float(self.applied(np.array([along], dtype=np.float32), generator)[0])
        return replace(
            answer,
            slopes=self.applied(answer.slopes, generator),
            along_slope=along,
            loss=math.nan,
        )
