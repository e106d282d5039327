"""Which parameters move, and how a layout is cut accordingly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given

from exporters.lora.layout import LoraLayout
from exporters.lora.support import EVERYTHING, Support
from tests.exporters.layouts import FlatLayout, layouts, supports

# q: A (2 × 3) and B (5 × 2) in layers 0 and 1, then a head.
LAYOUT = FlatLayout.of([(0, "A", 6), (0, "B", 10), (1, "A", 6), (1, "B", 10), (-1, "head", 4)])


def ranges(support: Support) -> list[tuple[int, int]]:
    return support.ranges(LAYOUT)


def test_a_support_chooses_by_layer_and_matrix() -> None:
    assert ranges(EVERYTHING) == [(0, 36)]
    assert ranges(Support(head=False)) == [(0, 32)]
    assert ranges(Support(layers=(1, 1))) == [(16, 36)]
    assert ranges(Support(layers=(1, 9), head=False)) == [(16, 32)]
    assert ranges(Support(matrices="B", head=False)) == [(6, 16), (22, 32)]
    assert ranges(Support(layers=(0, 0), matrices="B")) == [(6, 16), (32, 36)]
    assert ranges(Support(layers=(2, 3), head=False)) == []


@given(layout=layouts(), support=supports)
def test_ranges_are_the_runs_of_the_mask(layout: FlatLayout, support: Support) -> None:
    mask = np.zeros(layout.parameters, dtype=np.bool_)
    found = support.ranges(layout)
    for start, stop in found:
        assert start < stop
        mask[start:stop] = True
    assert np.array_equal(mask, support.mask(layout))
    assert all(one[1] < other[0] for one, other in pairwise(found))


@given(layout=layouts(), support=supports)
def test_the_mask_is_that_of_each_tensor(layout: FlatLayout, support: Support) -> None:
    mask = support.mask(layout)
    for tensor in layout.tensors:
        assert set(mask[tensor.slice]) == {support.contains(tensor)}


def test_the_bundles_own_layout_can_be_asked() -> None:
    shapes = {(layer, "q_proj", m): (2, 2) for layer in range(3) for m in "AB"}
    layout = LoraLayout.from_shapes(shapes, rank=2, alpha=4)  # type: ignore[arg-type]
    assert Support(layers=(1, 2), matrices="B").ranges(layout) == [(12, 16), (20, 24)]
