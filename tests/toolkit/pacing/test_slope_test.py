"""The slope test commits where clients agree that the loss falls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats
from toy_problem import fleet_answers, lora_layout, measure, slopes_along

from exporters.lora.directions import draw_seeds
from toolkit.pacing.evidence import Evidence
from toolkit.pacing.fixed import FixedPacing
from toolkit.pacing.fwdllm_gate import FwdllmGate
from toolkit.pacing.proposed import proposed_direction
from toolkit.pacing.rules import Pacing
from toolkit.pacing.slope_test import SlopeTest, t_statistic
from toolkit.protocol.along import along_direction
from toolkit.protocol.order import Along
from toolkit.protocol.update import ReplicaState
from toolkit.robust.aggregation import TrimmedMean
from toolkit.server_update.guided import GuidedStep
from toolkit.server_update.momentum import MomentumStep
from toolkit.server_update.rules import plan
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.state import RoundState
from toolkit.server_update.yogi import YogiStep

LAYOUT = lora_layout(2, 50)
P = LAYOUT.parameters


def vector(seed):
    return np.random.default_rng(seed).normal(size=P).astype(np.float32)


def evidence(slopes, probes=20, increment=0, step_ratio=0.01):
    measured = [measure(vector(0), draw_seeds(1, 1, probes), LAYOUT)]
    return Evidence(measured, slopes, LAYOUT, increment, probes, step_ratio)


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=20, unique=True))
def test_t_is_that_of_one_sample_below_zero(slopes):
    expected = stats.ttest_1samp(slopes, 0, alternative="less").statistic
    assert t_statistic(slopes) == pytest.approx(-expected)


@given(
    st.lists(st.floats(-5, 5), min_size=3, max_size=20),
    st.sampled_from([1e-6, 1e-3, 1e3, 1e6]),
)
def test_the_scale_of_the_loss_does_not_matter(slopes, scale):
    if any(0 < abs(slope) < 1e-3 for slope in slopes) or len(set(slopes)) == 1:
        return
    scaled = [slope * scale for slope in slopes]
    assert t_statistic(scaled) == pytest.approx(t_statistic(slopes), rel=1e-6, abs=1e-9)


def test_agreement_downhill_commits():
    decision = SlopeTest().decide(evidence([-1.0, -1.2, -0.9, -1.1]))
    assert decision.commit
    assert decision.statistic > 2


def test_agreement_uphill_asks_for_more():
    decision = SlopeTest(growth=0.5).decide(evidence([1.0, 1.2, 0.9, 1.1]))
    assert not decision.commit
    assert decision.more_probes == 10


def test_it_asks_for_what_t_lacks():
    """t = 1.6 of 2 needs (2/1.6)² times the probes."""
    slopes = np.array([-1.0, -2.0, -3.0, -4.0])
    slopes -= slopes.mean()
    slopes -= 1.6 * slopes.std(ddof=1) / 2
    decision = SlopeTest().decide(evidence(slopes.tolist(), probes=100))
    assert decision.statistic == pytest.approx(1.6)
    assert decision.more_probes == math.ceil(100 * ((2 / 1.6) ** 2 - 1))


def test_at_the_cap_downhill_commits_and_uphill_ends_the_round():
    last = {"increment": 5}
    downhill = SlopeTest().decide(evidence([-1.0, 1.0, -0.5], **last))
    uphill = SlopeTest().decide(evidence([1.0, -1.0, 0.5], **last))
    assert downhill.commit
    assert not uphill.commit
    assert uphill.more_probes == 0
    assert not SlopeTest(most_probes=20).decide(evidence([1.0, -1.0, 0.5])).commit
    assert SlopeTest(most_probes=23).decide(evidence([1.0, -1.0, 0.5])).more_probes == 3


def test_equal_slopes_are_certain():
    assert SlopeTest().decide(evidence([-1.0] * 3)).commit
    assert not SlopeTest().decide(evidence([0.0] * 3)).commit


@pytest.mark.parametrize("slopes", [[], [-1.0], [-1.0, -1.0]])
def test_with_few_clients_the_open_loop_rule_decides(slopes):
    """40 probes of 200 parameters have an alignment of 0.447."""
    assert SlopeTest().decide(evidence(slopes, 40, step_ratio=0.44)).commit
    decision = SlopeTest().decide(evidence(slopes, 40, step_ratio=0.48))
    assert not decision.commit
    assert decision.more_probes == 10
    assert SlopeTest().decide(evidence(slopes, 40, step_ratio=0.48, increment=5)).commit


def test_with_many_probes_it_commits_and_with_few_it_rarely_does():
    """Closed loop: noisy batches, fresh for the test, of one gradient."""
    gradient, rng = vector(0), np.random.default_rng(8)

    def batches():
        return [(gradient + 2 * rng.normal(size=P)).astype(np.float32) for _ in range(8)]

    def commits(probes, trials=30):
        count = 0
        for trial in range(1, trials + 1):
            measured = fleet_answers(batches(), LAYOUT, probes=probes, stream=trial)
            replica = ReplicaState(vector(2))
            update = plan(SgdStep(), RoundState(1, 1, replica), measured, LAYOUT).update
            along = proposed_direction(update, measured, LAYOUT)
            slopes = slopes_along(along, batches(), replica, LAYOUT)
            seen = Evidence(measured, slopes, LAYOUT, 0, 8 * probes)
            count += SlopeTest().decide(seen).commit
        return count / trials

    assert commits(1) < 0.5
    assert commits(30) > 0.9


@pytest.mark.parametrize(
    "rule", [SgdStep(), MomentumStep(), GuidedStep()], ids=lambda rule: rule.kind
)
def test_the_proposed_direction_is_that_of_the_update(rule):
    before = ReplicaState(vector(2), vector(3))
    measured = [measure(vector(0), draw_seeds(1, 1, 30), LAYOUT)]
    update = plan(rule, RoundState(1, 2, before), measured, LAYOUT, [0.3, 0.2]).update
    along = along_direction(proposed_direction(update, measured, LAYOUT), before, LAYOUT)
    step = before.after(update, LAYOUT).values - before.values
    assert np.sqrt(np.mean(along**2)) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(
        along / np.linalg.norm(along), step / np.linalg.norm(step), atol=1e-4
    )


@pytest.mark.parametrize(
    ("rule", "more"), [(YogiStep(), {}), (SgdStep(), {"aggregation": TrimmedMean()})]
)
def test_an_overwrite_is_judged_by_the_descent_direction_of_its_probes(rule, more):
    before = ReplicaState(vector(2))
    measured = [measure(vector(0), draw_seeds(1, 1, 30), LAYOUT)]
    planned = plan(rule, RoundState(1, 2, before), measured, LAYOUT, **more)
    along = proposed_direction(planned.update, measured, LAYOUT)
    assert isinstance(along, Along)
    assert along_direction(along, before, LAYOUT) @ vector(0) < 0


def test_fixed_pacing_commits_at_once():
    assert FixedPacing().decide(evidence([])).commit


@pytest.mark.parametrize("rule", [FixedPacing(), FwdllmGate(tensor=2), SlopeTest(growth=2.0)])
def test_a_rule_survives_its_file(rule):
    adapter: TypeAdapter[Pacing] = TypeAdapter(Pacing)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule
