"""Directions without preference, from a pool, and by FwdLLM's filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter
from toy_problem import cosine, lora_layout, measure, toy_layout

from exporters.lora.combination import named_direction
from exporters.lora.directions import direction, draw_seeds
from exporters.lora.support import EVERYTHING, Support
from toolkit.gradient.forward_gradient import forward_gradient
from toolkit.sampling.context import SamplingContext
from toolkit.sampling.plain import PlainSampling
from toolkit.sampling.rules import Sampling
from toolkit.sampling.seed_pool import SeedPool
from toolkit.sampling.tensor_filter import TensorFilter

LAYOUT = toy_layout((0, "A", 30), (0, "B", 70), (1, "A", 41), (1, "B", 9))


def guide_of(parameters, seed=0):
    return np.random.default_rng(seed).normal(size=parameters).astype(np.float32)


def context(layout=LAYOUT, stream=3, **more):
    given = {"distribution": "rademacher", "support": EVERYTHING, "guide": None} | more
    return SamplingContext(run_seed=7, stream=stream, layout=layout, **given)


def test_plain_directions_are_the_seeds_of_the_stream():
    assert PlainSampling().propose(context(), 5) == draw_seeds(7, 3, 5)


@pytest.mark.parametrize("rule", [PlainSampling(), TensorFilter(every=2), SeedPool(size=9)])
def test_a_rule_survives_its_file(rule):
    adapter: TypeAdapter[Sampling] = TypeAdapter(Sampling)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule


@pytest.mark.parametrize("rule", [PlainSampling(), TensorFilter(), SeedPool(size=9)])
def test_all_seeds_come_from_the_stream_that_a_rule_names(rule):
    names = rule.propose(context(guide=guide_of(150)), 4)
    seeds = {seed for name in names for seed in (name if isinstance(name, tuple) else [name])}
    stream, count = rule.drawn(3, 4)
    assert seeds <= set(draw_seeds(7, stream, count))


# The pool.


def test_the_pool_never_grows():
    pool = SeedPool(size=20)
    drawn = [set(pool.propose(context(stream=stream), 8)) for stream in range(1, 40)]
    assert len(set.union(*drawn)) == 20
    assert drawn[0] != drawn[1]


def test_the_pool_repeats_itself_only_when_it_is_used_up():
    names = SeedPool(size=20).propose(context(), 45)
    assert len(names) == 45
    assert len(set(names[:20])) == len(set(names[20:40])) == 20


# The filter.


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_the_filter_keeps_each_tensors_best_candidates_in_order(distribution):
    guide = guide_of(150)
    names = TensorFilter(candidates=10).propose(context(guide=guide, distribution=distribution), 6)
    seeds = draw_seeds(7, 3, 60)
    for position, tensor in enumerate(LAYOUT.tensors):
        pieces = [direction(seed, 150, distribution)[tensor.slice] for seed in seeds]
        cosines = [cosine(piece, guide[tensor.slice]) for piece in pieces]
        best = [cosines[seeds.index(name[position])] for name in names]
        np.testing.assert_allclose(best, sorted(cosines, reverse=True)[:6], atol=1e-6)


def test_it_filters_every_candidate_when_there_are_more_than_a_thousand():
    """1,500 candidates: the authors' code ranks the last 500 and filters nothing.

    The best tenth of normal cosines lies 1.755 standard deviations above 0 on average.
    """
    layout = lora_layout(2, 100)
    guide = guide_of(400)
    names = TensorFilter().propose(context(layout, guide=guide), 150)
    for tensor in layout.tensors:
        cosines = [
            cosine(named_direction(name, layout)[tensor.slice], guide[tensor.slice])
            for name in names
        ]
        assert np.mean(cosines) * np.sqrt(100) == pytest.approx(1.755, rel=0.06)
        assert min(cosines) > 0.1


def test_the_filter_improves_the_estimate_as_far_as_its_guide_is_good():
    """26 tensors, 100 probes in 5,200 parameters, guides of cosine 0.05, 0.3 and 0.6."""
    layout = lora_layout(13, 200)
    p, gains = layout.parameters, {}
    gradient = guide_of(p, 1)
    gradient /= np.linalg.norm(gradient)
    across = guide_of(p, 2)
    across -= gradient * (across @ gradient)
    across /= np.linalg.norm(across)

    def alignment(names):
        return cosine(forward_gradient([measure(gradient, names, layout)], layout), gradient)

    plain = alignment(PlainSampling().propose(context(layout), 100))
    for share in (0.05, 0.3, 0.6):
        guide = share * gradient + np.sqrt(1 - share**2) * across
        names = TensorFilter().propose(context(layout, guide=guide), 100)
        gains[share] = alignment(names) / plain
    assert plain == pytest.approx(np.sqrt(100 / p), rel=0.25)
    assert 0.8 < gains[0.05] < 1.3
    assert gains[0.3] > 1.6
    assert gains[0.6] > 2.8


@pytest.mark.parametrize(("every", "filtered"), [(1, [1, 2, 3, 4]), (2, [2, 4])])
def test_the_authors_filter_every_second_round_from_the_second_on(every, filtered):
    rule, given = TensorFilter(every=every), context(guide=guide_of(150))
    for number in range(1, 5):
        names = rule.propose(replace(given, round_number=number), 3)
        assert isinstance(names[0], tuple) == (number in filtered)
        if number not in filtered:
            assert names == draw_seeds(7, 3, 3)


def test_without_a_guide_nothing_is_filtered():
    assert TensorFilter().propose(context(), 3) == draw_seeds(7, 3, 3)


def test_a_tensor_that_the_guide_is_silent_about_is_left_alone():
    guide = guide_of(150)
    guide[LAYOUT.tensors[1].slice] = 0
    names = TensorFilter().propose(context(guide=guide), 5)
    assert [name[1] for name in names] == draw_seeds(7, 3, 5)


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_a_tensor_that_does_not_move_is_left_alone(distribution):
    names = TensorFilter().propose(
        context(guide=guide_of(150), support=Support(layers=(1, 1)), distribution=distribution),
        5,
    )
    assert [name[0] for name in names] == draw_seeds(7, 3, 5)
    assert [name[2] for name in names] != draw_seeds(7, 3, 5)


def test_a_scaled_guide_chooses_the_same_directions():
    """Also where it is as small or as large as float32 allows."""
    guide = guide_of(150)
    chosen = TensorFilter().propose(context(guide=guide), 5)
    for exponent in (-100, 100):
        scaled = guide * np.float32(2.0**exponent)
        assert TensorFilter().propose(context(guide=scaled), 5) == chosen
