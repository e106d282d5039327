"""Arms and the order in which a sweep measures them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.job import Warmup
from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import Arm, SweepPlan, arms_of, sweep_plan


def plan(**changes: object) -> SweepPlan:
    settings = {
        "arms": arms_of([1, 4], [32, 128], [1], ["central"]),
        "warmup": Warmup(),
        "minimum_ms": 0,
        "repetitions": 3,
        "blocks": 3,
        "most_blocks": 3,
        "precision": None,
        "seed": 0,
        "loss_positions": "last",
    }
    return sweep_plan(**{**settings, **changes})


def test_arms_are_every_combination_once() -> None:
    arms = arms_of([1, 4, 1], [32, 128], [1, 8], ["central", "forward"])

    assert len(arms) == len(set(arms)) == 16
    assert Arm(batch=4, tokens=128, directions_per_pass=8, estimator="forward", threads=1) in arms


def test_every_range_of_layers_is_an_arm_of_its_own() -> None:
    arms = arms_of([1], [32], [1], ["central", "tangent"], [None, (4, 5), (2, 5)])

    assert len(arms) == 6
    assert {arm.layers for arm in arms} == {None, (4, 5), (2, 5)}
    assert len({arm.label for arm in arms}) == 6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([0], [32], [1], ["central"]), "batch = 0"),
        (([1], [-5], [1], ["central"]), "tokens = -5"),
        (([1], [32], [0], ["central"]), "directions_per_pass = 0"),
        (([1], [32], [1], ["backprop"]), "estimator = 'backprop'"),
        (([1], [32], [1], ["central"], [(5, 4)]), "layers 5-4 are none"),
        (([], [32], [1], ["central"]), "no arms"),
    ],
)
def test_an_impossible_arm_is_refused_by_name(arguments: tuple, named: str) -> None:
    with pytest.raises(SweepSettingsError, match=named):
        arms_of(*arguments)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repetitions", 0),
        ("blocks", 0),
        ("most_blocks", 0),
        ("precision", 0.0),
        ("seed", -1),
    ],
)
def test_an_impossible_setting_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(SweepSettingsError, match=field):
        plan(**{field: value})


@given(seed=st.integers(0, 2**63 - 1), blocks=st.integers(1, 5))
def test_every_block_measures_every_arm_once(seed: int, blocks: int) -> None:
    order = plan(seed=seed, blocks=blocks, most_blocks=blocks).shuffled()

    assert [slot.block for slot in order] == [block for block in range(blocks) for _ in range(4)]
    for block in range(blocks):
        assert sorted(slot.arm for slot in order if slot.block == block) == [0, 1, 2, 3]


def test_the_order_depends_on_the_seed_alone() -> None:
    orders = {plan(seed=seed, blocks=5, most_blocks=5).shuffled() for seed in range(5)}

    assert plan(seed=3).shuffled() == plan(seed=3).shuffled()
    assert len(orders) == 5
