"""Slopes leave a client clipped and with fresh noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from toolkit.errors import TrainingError
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.order import Answer


def answer(**more):
    given = {"along_slope": None, "head_gradient": None} | more
    return Answer(
        1, 0, "a" * 64, np.ones(3, np.float32), 1.5, seconds=1.0, values_from="held", **given
    )


def test_slopes_are_clipped_before_the_noise():
    noise = SlopeNoise(clip=2.0, multiplier=1e-6)
    sent = noise.applied(np.array([-9, -1, 0.5, 3e38], dtype=np.float32))
    np.testing.assert_allclose(sent, [-2, -1, 0.5, 2], atol=1e-4)
    assert sent.dtype == np.float32


def test_the_noise_is_gaussian_of_the_stated_size():
    slopes = np.zeros(20_000, dtype=np.float32)
    sent = SlopeNoise(clip=0.5, multiplier=3.0).applied(slopes, np.random.default_rng(0))
    assert sent.std() == pytest.approx(1.5, rel=0.03)
    assert abs(sent.mean()) < 5 * 1.5 / math.sqrt(20_000)
    assert np.mean(np.abs(sent) < 1.5) == pytest.approx(0.6827, abs=0.02)


def test_the_noise_is_new_each_time():
    noise, slopes = SlopeNoise(clip=1.0, multiplier=1.0), np.zeros(4, dtype=np.float32)
    assert not (noise.applied(slopes) == noise.applied(slopes)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_slope_that_is_not_finite_tells_nothing(value):
    slopes = np.array([value], dtype=np.float32)
    noise = SlopeNoise(clip=1.0, multiplier=1e-6)
    assert noise.applied(slopes)[0] == pytest.approx(0, abs=1e-4)


def test_a_protected_answer_withholds_the_loss_and_blurs_all_slopes():
    sent = SlopeNoise(clip=1.0, multiplier=1.0).protect(answer(along_slope=0.25))
    assert math.isnan(sent.loss)
    assert not (sent.slopes == 1).any()
    assert sent.along_slope != 0.25
    assert SlopeNoise(clip=1.0, multiplier=1.0).protect(answer()).along_slope is None


def test_the_two_kinds_of_slopes_have_noise_of_their_own():
    noise = SlopeNoise(clip=1.0, multiplier=1.0)
    sent = noise.protect(answer(along_slope=1.0), np.random.default_rng(0))
    assert sent.along_slope not in sent.slopes


def test_an_exact_gradient_of_the_head_is_not_sent():
    with pytest.raises(TrainingError, match="head"):
        SlopeNoise(clip=1.0, multiplier=1.0).protect(
            answer(head_gradient=np.ones(2, dtype=np.float32))
        )


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (-1, 1), (1, math.inf), (math.nan, 1)])
def test_noise_without_a_size_is_refused(numbers):
    with pytest.raises(ValidationError):
        SlopeNoise(clip=numbers[0], multiplier=numbers[1])
