"""Forward gradients are unbiased, also where clients move different parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_problem import lora_layout, measure, toy_layout

from exporters.lora.combination import named_direction
from exporters.lora.directions import direction, draw_seeds
from exporters.lora.support import EVERYTHING, Support
from toolkit.gradient.coverage import Coverage
from toolkit.gradient.forward_gradient import combinations, forward_gradient
from toolkit.protocol.exact import exact_dot, exact_norm
from toolkit.protocol.update import ReplicaState, RoundUpdate

LAYOUT = toy_layout((0, "A", 30), (0, "B", 20))
B_ONLY = Support(matrices="B")
SUPPORTS = [
    EVERYTHING,
    B_ONLY,
    Support(layers=(0, 1)),
    Support(layers=(1, 2), head=False),
    Support(layers=(2, 2), matrices="B", head=True),
    Support(layers=(3, 3), head=True),
]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_estimate_is_unbiased(seed):
    """Each element's mean error over n probes is normal with variance below ‖g‖²/n."""
    gradient = np.random.default_rng(seed).normal(size=50).astype(np.float32)
    seeds = draw_seeds(seed, 1, 4000)
    error = forward_gradient([measure(gradient, seeds, LAYOUT)], LAYOUT) - gradient
    assert np.abs(error).max() < 6 * np.linalg.norm(gradient) / np.sqrt(len(seeds))


def test_the_expected_squared_error_is_that_of_theory():
    """For Rademacher directions E‖ĝ − g‖² = (p − 1)‖g‖²/n."""
    gradient = np.ones(50, dtype=np.float32)
    errors = []
    for trial in range(1, 401):
        measured = measure(gradient, draw_seeds(7, trial, 20), LAYOUT)
        errors.append(np.sum((forward_gradient([measured], LAYOUT) - gradient) ** 2))
    assert np.mean(errors) == pytest.approx(49 * 50 / 20, rel=0.05)


@given(
    chosen=st.lists(
        st.tuples(st.sampled_from(SUPPORTS), st.integers(0, 3), st.floats(0.1, 4)), max_size=5
    ),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_every_tensor_is_averaged_over_the_probes_that_moved_it(chosen, seed):
    layout = lora_layout(3, 9, head=5)
    gradient = np.random.default_rng(seed).normal(size=layout.parameters).astype(np.float32)
    measured = [
        measure(gradient, draw_seeds(seed, i + 1, n), layout, f"p{i}", support, weight=weight)
        for i, (support, n, weight) in enumerate(chosen)
    ]
    expected = np.zeros(layout.parameters)
    for tensor in layout.tensors:
        moving = [one for one in measured if one.support.contains(tensor)]
        total = sum(one.weight * len(one.directions) for one in moving)
        for one in moving:
            for name, slope in zip(one.directions, one.slopes, strict=True):
                piece = direction(name, layout.parameters)[tensor.slice]
                expected[tensor.slice] += one.weight * float(slope) * piece / total
    np.testing.assert_allclose(forward_gradient(measured, layout), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("support", SUPPORTS, ids=str)
def test_clients_of_one_support_need_one_pair_per_probe(support):
    layout = lora_layout(4, 9, head=5)
    gradient = np.ones(layout.parameters, dtype=np.float32)
    measured = [measure(gradient, draw_seeds(1, i, 3), layout, support=support) for i in (1, 2)]
    (only,) = combinations(measured, layout, 1.0)
    assert only.support == support
    assert [name for name, _ in only.pairs] == [*draw_seeds(1, 1, 3), *draw_seeds(1, 2, 3)]


def test_clients_with_disjoint_layers_need_one_pair_per_probe():
    layout = lora_layout(4, 9)
    gradient = np.ones(layout.parameters, dtype=np.float32)
    halves = [Support(layers=(0, 1)), Support(layers=(2, 3))]
    measured = [measure(gradient, draw_seeds(1, 1, 3), layout, support=half) for half in halves]
    assert [len(each.pairs) for each in combinations(measured, layout, 1.0)] == [3, 3]


def test_the_coefficients_fit_in_four_bytes():
    layout = lora_layout(1, 9)
    gradient = np.random.default_rng(0).normal(size=18).astype(np.float32)
    measured = [measure(gradient, draw_seeds(1, 1, 7), layout)]
    for each in combinations(measured, layout, -0.1):
        for _, coefficient in each.pairs:
            assert float(np.float32(coefficient)) == coefficient


def test_composite_directions_are_estimated_as_well():
    gradient = np.random.default_rng(0).normal(size=50).astype(np.float32)
    names = [tuple(draw_seeds(3, trial, 2)) for trial in range(1, 3001)]
    estimate = forward_gradient([measure(gradient, names, LAYOUT)], LAYOUT)
    assert np.abs(estimate - gradient).max() < 6 * np.linalg.norm(gradient) / np.sqrt(3000)


def test_the_update_is_the_step_along_the_estimate():
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    measured = [measure(values + 1, draw_seeds(3, 1, 16), LAYOUT)]
    update = RoundUpdate(combinations(measured, LAYOUT, -0.25))
    moved = ReplicaState(values).after(update, LAYOUT).values
    step = 0.25 * forward_gradient(measured, LAYOUT)
    np.testing.assert_allclose(moved, values - step, rtol=0, atol=1e-5)


def test_no_probes_make_no_gradient():
    assert not forward_gradient([], LAYOUT).any()
    assert Coverage.of([], LAYOUT).alignment == 0


def test_the_alignment_of_equal_probes_is_the_root_of_their_share():
    gradient = np.ones(50, dtype=np.float32)
    measured = [measure(gradient, draw_seeds(1, 1, 2), LAYOUT)]
    assert Coverage.of(measured, LAYOUT).alignment == pytest.approx(np.sqrt(2 / 50))


@pytest.mark.parametrize(
    "supports",
    [
        [EVERYTHING, B_ONLY],
        [Support(layers=(0, 1)), Support(layers=(2, 3))],
        [Support(layers=(0, 2)), Support(layers=(1, 3)), EVERYTHING],
    ],
)
def test_the_alignment_is_that_of_estimates(supports):
    layout = lora_layout(4, 100)
    cosines = []
    for trial in range(1, 61):
        gradient = np.random.default_rng(trial).normal(size=layout.parameters).astype(np.float32)
        measured = [
            measure(gradient, draw_seeds(trial, i + 1, 4), layout, support=support)
            for i, support in enumerate(supports)
        ]
        measured[0] = replace(measured[0], weight=2.0)
        estimate = forward_gradient(measured, layout)
        cosines.append(estimate @ gradient / np.linalg.norm(estimate) / np.linalg.norm(gradient))
    assert np.mean(cosines) == pytest.approx(Coverage.of(measured, layout).alignment, rel=0.12)


@given(st.permutations(range(40)))
def test_norms_and_products_do_not_depend_on_the_order_of_summation(order):
    scale = np.logspace(-6, 6, 40).astype(np.float32)
    signs = named_direction(7, toy_layout((0, "A", 40)))
    assert exact_norm(scale[list(order)]) == exact_norm(scale)
    assert exact_dot(scale[list(order)], signs[list(order)]) == exact_dot(scale, signs)
