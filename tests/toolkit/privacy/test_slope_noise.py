"""Slopes are clipped, then blurred."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from toolkit.privacy.slope_noise import SlopeNoise


def generator():
    return np.random.default_rng(0)


def test_slopes_are_clipped_before_the_noise():
    noise = SlopeNoise(clip=2.0, multiplier=1e-6)
    sent = noise.applied(np.array([-9, -1, 0.5, 3e38], dtype=np.float32), generator())
    np.testing.assert_allclose(sent, [-2, -1, 0.5, 2], atol=1e-4)
    assert sent.dtype == np.float32


def test_the_noise_is_gaussian_of_the_stated_size():
    slopes = np.zeros(20_000, dtype=np.float32)
    sent = SlopeNoise(clip=0.5, multiplier=3.0).applied(slopes, generator())
    assert sent.std() == pytest.approx(1.5, rel=0.03)
    assert abs(sent.mean()) < 5 * 1.5 / math.sqrt(20_000)
    assert np.mean(np.abs(sent) < 1.5) == pytest.approx(0.6827, abs=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_slope_that_is_not_finite_tells_nothing(value):
    slopes = np.array([value], dtype=np.float32)
    noise = SlopeNoise(clip=1.0, multiplier=1e-6)
    assert noise.applied(slopes, generator())[0] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (-1, 1), (1, math.inf), (math.nan, 1)])
def test_noise_without_a_size_is_refused(numbers):
    with pytest.raises(ValidationError):
        SlopeNoise(clip=numbers[0], multiplier=numbers[1])
