"""Changes to a slower pace."""

from __future__ import annotations

import numpy as np
import pytest

from device_bench.policies.change_point import slower_from


def noisy(seed: int, size: int = 40, scale: float = 0.03) -> np.ndarray:
    return 1 + np.random.default_rng(seed).normal(0, scale, size)


@pytest.mark.parametrize("at", [8, 20, 32])
@pytest.mark.parametrize("factor", [1.15, 1.6])
def test_a_step_is_found_where_it_is(at: int, factor: float) -> None:
    seconds = noisy(at)
    seconds[at:] *= factor

    found = slower_from(seconds)

    assert found is not None and abs(found - at) <= 1


def test_noise_spikes_and_a_faster_pace_are_no_slower_pace() -> None:
    assert not [seed for seed in range(100) if slower_from(noisy(seed)) is not None]
    spiked = noisy(1)
    spiked[[5, 30, 31]] *= 8
    assert slower_from(spiked) is None
    assert slower_from(np.r_[2 * noisy(1), noisy(2)]) is None


def test_a_change_of_a_few_percent_is_none() -> None:
    assert slower_from(np.r_[np.full(50, 1.0), np.full(50, 1.04)]) is None


def test_too_few_values_have_no_change() -> None:
    assert [slower_from(np.array(values)) for values in ([], [1.0], [1.0, 2.0])] == [None] * 3
