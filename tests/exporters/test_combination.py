"""Named directions and their sums, against the definition element by element."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporters.lora.combination import Combination, DirectionName, named_direction
from exporters.lora.directions import SEED_LIMIT, Distribution, direction
from exporters.lora.support import Support
from tests.exporters.layouts import FlatLayout, layouts, supports

seeds = st.integers(0, SEED_LIMIT - 1)
distributions = st.sampled_from(["rademacher", "gaussian"])
coefficients = st.floats(-1e6, 1e6, width=32)


def by_definition(
    name: DirectionName, layout: FlatLayout, distribution: Distribution, support: Support
) -> NDArray[np.float32]:
    """Every seed's whole direction, cut into tensors; outside the support 0."""
    count = len(layout.tensors)
    expected = np.zeros(layout.parameters, dtype=np.float32)
    one_each = (name,) * count if isinstance(name, int) else name
    for seed, tensor in zip(one_each, layout.tensors, strict=True):
        if support.contains(tensor):
            expected[tensor.slice] = direction(seed, layout.parameters, distribution)[tensor.slice]
    return expected


def names(layout: FlatLayout) -> st.SearchStrategy[DirectionName]:
    count = len(layout.tensors)
    return seeds | st.lists(seeds, min_size=count, max_size=count).map(tuple)


@given(layout=layouts(), distribution=distributions, support=supports, data=st.data())
def test_a_name_makes_the_direction_that_it_defines(
    layout: FlatLayout, distribution: Distribution, support: Support, data: st.DataObject
) -> None:
    name = data.draw(names(layout))
    made = named_direction(name, layout, distribution, support)
    assert made.dtype == np.float32
    assert np.array_equal(made, by_definition(name, layout, distribution, support))


@given(layout=layouts(), distribution=distributions, support=supports, data=st.data())
def test_a_sum_is_one_rounded_product_and_sum_after_another(
    layout: FlatLayout, distribution: Distribution, support: Support, data: st.DataObject
) -> None:
    pairs = data.draw(st.lists(st.tuples(names(layout), coefficients), max_size=4))
    combination = Combination(distribution=distribution, support=support, pairs=tuple(pairs))
    values = np.linspace(-1, 1, layout.parameters, dtype=np.float32)
    values[::5] = -0.0
    expected, moves = values.copy(), support.mask(layout)
    for name, coefficient in pairs:
        step = np.float32(coefficient) * by_definition(name, layout, distribution, support)
        expected[moves] += step[moves]

    combination.add_to(values, layout)

    assert values.tobytes() == expected.tobytes()


def test_nothing_outside_the_support_changes_in_a_single_bit() -> None:
    layout = FlatLayout.of([(0, "A", 70), (0, "B", 70), (1, "A", 70)])
    values = np.full(210, -0.0, dtype=np.float32)
    values[140:] = np.nan
    before = values.copy()

    Combination(support=Support(layers=(0, 0), matrices="B"), pairs=((3, 0.5),)).add_to(
        values, layout
    )

    assert values[:70].tobytes() == before[:70].tobytes()
    assert values[140:].tobytes() == before[140:].tobytes()
    assert np.all(np.abs(values[70:140]) == 0.5)


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("support", [Support(), Support(layers=(7, 7), head=False)])
def test_a_name_with_another_number_of_seeds_is_refused(count: int, support: Support) -> None:
    layout = FlatLayout.of([(0, "A", 4), (0, "B", 4)])
    name = tuple(range(count))
    with pytest.raises(ValueError, match=f"{count} seeds for 2 tensors"):
        named_direction(name, layout, support=support)
    with pytest.raises(ValueError, match=f"{count} seeds for 2 tensors"):
        Combination(support=support, pairs=((name, 1.0),)).add_to(np.zeros(8, np.float32), layout)


@given(
    pairs=st.lists(
        st.tuples(seeds | st.lists(seeds, max_size=3).map(tuple), coefficients), max_size=3
    ).map(tuple),
    support=supports,
)
def test_a_combination_survives_its_text(
    pairs: tuple[tuple[DirectionName, float], ...], support: Support
) -> None:
    combination = Combination(support=support, pairs=pairs)
    assert Combination.model_validate_json(combination.model_dump_json()) == combination
