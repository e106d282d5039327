"""The authors' gate, and what it amounts to: n ≥ 2‖g‖²/tau."""

from __future__ import annotations

import math

import numpy as np
import pytest
from toy_problem import lora_layout, measure

from exporters.lora.combination import named_direction
from exporters.lora.directions import draw_seeds
from exporters.lora.support import Support
from toolkit.pacing.evidence import Evidence
from toolkit.pacing.fwdllm_gate import FwdllmGate, two_sample_variance

LAYOUT = lora_layout(2, 150)


def gradient_of_norm(norm, seed=0):
    gradient = np.random.default_rng(seed).normal(size=LAYOUT.parameters)
    return (norm * gradient / np.linalg.norm(gradient)).astype(np.float32)


def evidence(measured, increment=0):
    probes = sum(len(one.directions) for one in measured)
    return Evidence(measured, (), LAYOUT, increment, probes)


@pytest.mark.parametrize("distribution", ["gaussian", "rademacher"])
@pytest.mark.parametrize(("norm", "probes"), [(0.5, 10), (3.0, 10), (1.0, 40)])
def test_the_expected_variance_is_twice_the_squared_gradient_over_the_probes(
    distribution, norm, probes
):
    """E[var] = 2‖g‖²/n, with the whole gradient although one tensor is looked at.

    The mean of 400 draws lies within 4 standard errors; Rademacher lacks 1/p of it.
    """
    gradient = gradient_of_norm(norm)
    readings = [
        two_sample_variance(
            [measure(gradient, draw_seeds(3, s, probes), LAYOUT, distribution=distribution)],
            LAYOUT,
            0,
        )
        for s in range(1, 401)
    ]
    error = np.std(readings) / math.sqrt(len(readings))
    theory = 2 * norm**2 / probes
    assert abs(np.mean(readings) - theory) < 4 * error + theory / LAYOUT.parameters


def test_the_variance_is_that_of_the_two_halves_oldest_first():
    gradient = gradient_of_norm(1.0)
    first = measure(gradient, draw_seeds(1, 1, 2), LAYOUT, "a")
    second = measure(gradient, draw_seeds(1, 2, 3), LAYOUT, "b")
    estimates = [
        slope * named_direction(name, LAYOUT)[LAYOUT.tensors[2].slice]
        for one in (first, second)
        for name, slope in zip(one.directions, one.slopes, strict=True)
    ]
    halves = [np.mean(estimates[:2], axis=0), np.mean(estimates[2:], axis=0)]
    expected = np.var(halves, axis=0, ddof=1).mean()
    assert two_sample_variance([first, second], LAYOUT, 2) == pytest.approx(expected, rel=1e-5)


def test_growing_by_one_probe_per_client_it_commits_near_the_predicted_number():
    """With tau = 0.05 and ‖g‖ = 1 the expected variance is reached at 40 probes."""
    counts = []
    for trial in range(30):
        gradient, measured = gradient_of_norm(1.0, trial), []
        gate = FwdllmGate(tau=0.05)
        for increment in range(100):
            seeds = draw_seeds(trial, increment + 1, 4)
            measured += [measure(gradient, [s], LAYOUT, f"p{i}") for i, s in enumerate(seeds)]
            decision = gate.decide(evidence(measured, increment))
            if decision.commit:
                assert decision.statistic <= 0.05
                break
            assert decision.more_probes == 4
        counts.append(4 * (increment + 1))
    # It commits at the first reading below tau, so rather before than after the mean is there.
    assert 30 <= np.mean(counts) <= 42


def test_one_probe_has_no_variance():
    decision = FwdllmGate().decide(evidence([measure(gradient_of_norm(1), [5], LAYOUT)]))
    assert not decision.commit
    assert decision.more_probes == 1
    assert decision.statistic == math.inf


def test_the_caps_commit():
    measured = [measure(gradient_of_norm(9), draw_seeds(1, 1, 10), LAYOUT)]
    assert not FwdllmGate().decide(evidence(measured)).commit
    assert FwdllmGate(most_increments=3).decide(evidence(measured, 2)).commit
    assert FwdllmGate(most_probes=10).decide(evidence(measured)).commit
    assert FwdllmGate().decide(evidence([], 49)).commit


def test_the_last_probes_before_the_cap_are_as_many_as_fit():
    gradient = gradient_of_norm(9)
    measured = [measure(gradient, draw_seeds(1, i, 2), LAYOUT, f"p{i}") for i in range(1, 6)]
    assert FwdllmGate(most_probes=13).decide(evidence(measured)).more_probes == 3


def test_it_looks_at_the_first_a_that_moves():
    gradient = gradient_of_norm(1)
    seeds = draw_seeds(1, 1, 10)
    top = [measure(gradient, seeds, LAYOUT, support=Support(layers=(1, 1)))]
    bottom_b = [measure(gradient, seeds, LAYOUT, support=Support(matrices="B"))]
    for measured, position in ((top, 2), (bottom_b, 1)):
        statistic = FwdllmGate().decide(evidence(measured)).statistic
        assert statistic == two_sample_variance(measured, LAYOUT, position)
    chosen = FwdllmGate(tensor=3).decide(evidence(top)).statistic
    assert chosen == two_sample_variance(top, LAYOUT, 3)


def test_probes_that_do_not_move_the_tensor_do_not_count():
    gradient = gradient_of_norm(1)
    whole = measure(gradient, draw_seeds(1, 1, 8), LAYOUT)
    other = measure(gradient, draw_seeds(1, 2, 8), LAYOUT, support=Support(layers=(1, 1)))
    mixed = two_sample_variance([whole, other], LAYOUT, 0)
    assert mixed == two_sample_variance([whole], LAYOUT, 0)
