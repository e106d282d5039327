"""The guard stops a run that diverges, and names the best version."""

from __future__ import annotations

import math

import pytest

from toolkit.server_update.guard import DivergenceGuard, HeldOut


def losses(*values):
    return [HeldOut(10 * position, loss) for position, loss in enumerate(values)]


def test_a_run_that_improves_goes_on():
    verdict = DivergenceGuard().assess([0.05] * 50, losses(1.4, 1.2, 1.0, 0.9))
    assert not verdict.stop
    assert verdict.best_version == 30


def test_the_stretch_is_that_of_steps_at_right_angles():
    verdict = DivergenceGuard().assess([0.3, 0.4], [])
    assert verdict.stretch == pytest.approx(math.hypot(1, 0.3) * math.hypot(1, 0.4))
    assert verdict.best_version is None


def test_a_stretched_run_stops_at_its_best_version():
    verdict = DivergenceGuard(most_stretch=2.7).assess([0.5] * 9, losses(1.4, 0.8, 0.9))
    assert verdict.stop
    assert verdict.best_version == 10
    assert "2.73" in verdict.reason


def test_a_step_that_is_no_number_stops_the_run():
    assert DivergenceGuard().assess([0.1, math.nan], []).stop


@pytest.mark.parametrize(("worse", "stop"), [(2, False), (3, True)])
def test_a_rising_loss_stops_after_patience(worse, stop):
    guard = DivergenceGuard(patience=3, tolerance=0.1)
    assert guard.assess([], losses(1.4, 1.0, *[1.2] * worse)).stop == stop


def test_noise_within_the_tolerance_is_no_rise():
    guard = DivergenceGuard(patience=3, tolerance=0.1)
    assert not guard.assess([], losses(1.0, *[1.05] * 20)).stop


def test_a_recovery_starts_the_count_anew():
    guard = DivergenceGuard(patience=3, tolerance=0.1)
    assert not guard.assess([], losses(1.0, 1.5, 1.5, 1.05, 1.5, 1.5)).stop


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_best(loss):
    verdict = DivergenceGuard(patience=None).assess([], losses(1.4, 1.0, loss))
    assert verdict.stop
    assert verdict.best_version == 10


def test_limits_can_be_lifted():
    guard = DivergenceGuard(most_stretch=None, patience=None)
    assert not guard.assess([1.0] * 100, losses(1.0, *[9.0] * 50)).stop
