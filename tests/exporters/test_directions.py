"""Properties of directions; their exact bits are held by the shared test vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.lora.directions import (
    SEED_LIMIT,
    Distribution,
    add_direction,
    direction,
    direction_range,
    draw_seeds,
)

seeds = st.integers(0, SEED_LIMIT - 1)
distributions = st.sampled_from(["rademacher", "gaussian"])


@given(seed=seeds, distribution=distributions, length=st.integers(1, 500), more=st.integers(0, 90))
def test_a_longer_direction_starts_with_the_shorter(
    seed: int, distribution: Distribution, length: int, more: int
) -> None:
    longer = direction(seed, length + more, distribution)
    assert longer.dtype == np.float32
    assert np.array_equal(direction(seed, length, distribution), longer[:length])


@given(
    seed=seeds,
    distribution=distributions,
    start=st.integers(0, 600),
    length=st.integers(0, 600),
)
def test_any_part_can_be_made_alone(
    seed: int, distribution: Distribution, start: int, length: int
) -> None:
    whole = direction(seed, start + length, distribution)
    part = direction_range(seed, start, start + length, distribution)
    assert part.dtype == np.float32
    assert np.array_equal(part, whole[start:])


@given(
    seed=seeds,
    distribution=distributions,
    start=st.integers(0, 300),
    scale=st.floats(-1e3, 1e3),
)
def test_adding_is_one_rounded_product_and_sum(
    seed: int, distribution: Distribution, start: int, scale: float
) -> None:
    values = np.linspace(-2, 2, 131, dtype=np.float32)
    expected = values + np.float32(scale) * direction_range(seed, start, start + 131, distribution)
    add_direction(values, seed, scale, start=start, distribution=distribution)
    assert values.tobytes() == expected.tobytes()


@given(seed=seeds, length=st.integers(1, 300))
def test_rademacher_elements_are_signs(seed: int, length: int) -> None:
    assert set(np.unique(direction(seed, length))) <= {-1.0, 1.0}


@given(seed=seeds, distribution=distributions)
def test_elements_have_mean_0_and_variance_1(seed: int, distribution: Distribution) -> None:
    values = direction(seed, 20000, distribution).astype(np.float64)
    assert abs(values.mean()) < 0.05
    assert abs(values.var() - 1) < 0.1


@given(first=seeds, second=seeds)
def test_different_seeds_are_nearly_orthogonal(first: int, second: int) -> None:
    if first != second:
        cosine = direction(first, 20000) @ direction(second, 20000) / 20000
        assert abs(cosine) < 0.05


@given(run_seed=seeds, stream=st.integers(1, 1000), count=st.integers(1, 64))
def test_drawn_seeds_are_valid_distinct_and_reproducible(
    run_seed: int, stream: int, count: int
) -> None:
    drawn = draw_seeds(run_seed, stream, count)
    assert drawn == draw_seeds(run_seed, stream, count)
    assert len(set(drawn)) == count
    assert all(0 <= seed < SEED_LIMIT for seed in drawn)
    assert not set(drawn) & set(draw_seeds(run_seed, stream + 1, count))


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_outside_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="64-bit"):
        direction(seed, 1)


def test_stream_0_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        draw_seeds(1, 0, 1)
