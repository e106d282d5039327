"""What a slope costs by each estimator of a device, with how exact it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.estimators import EstimatorPrice, estimator_prices
from device_bench.profiles.profile import BackendProfile
from device_bench.sweeps.sweep import run_sweep
from tests.device_bench.fake_timing_runner import (
    PARITY,
    RELATIVE_ERRORS,
    FakeInstalledRunner,
    known_seconds,
)

ALL = ["central", "forward", "tangent"]


def measured(folder: Path, arms: tuple, *, parity: object = PARITY) -> BackendProfile:
    run_sweep(FakeInstalledRunner(parity=parity), arms, folder)
    (backend,) = fit_profile(folder, now=datetime.now(UTC)).backends
    return backend


def by_estimator(backend: BackendProfile) -> dict[str, EstimatorPrice]:
    return {price.arm.estimator: price for price in estimator_prices(backend)}


def test_estimators_are_priced_at_the_same_work_with_their_best_number_at_once(
    tmp_path: Path,
) -> None:
    prices = by_estimator(measured(tmp_path, arms_of([1, 4], [16, 128], [1, 8], ALL)))

    assert list(prices) == ALL
    for estimator, price in prices.items():
        assert (price.arm.batch, price.arm.tokens, price.arm.directions_per_pass) == (4, 128, 8)
        seconds = known_seconds(price.arm.setting)
        worth = 1 + RELATIVE_ERRORS[estimator] ** 2
        assert price.exact_seconds == pytest.approx(seconds * worth, rel=1e-6)


def test_what_only_some_were_measured_at_does_not_compare(tmp_path: Path) -> None:
    arms = arms_of([1], [16], [1], ALL) + arms_of([4], [128], [1], ["central"])

    prices = by_estimator(measured(tmp_path, arms))

    assert {(price.arm.batch, price.arm.tokens) for price in prices.values()} == {(1, 16)}
    assert list(prices) == ALL


def test_without_exact_slopes_seconds_per_exact_slope_are_not_known(tmp_path: Path) -> None:
    arms = arms_of([1], [16, 64], [1], ALL)

    prices = by_estimator(measured(tmp_path, arms, parity=None))

    assert [price.exact_seconds for price in prices.values()] == [None, None, None]


def test_arms_of_some_layers_do_not_compare(tmp_path: Path) -> None:
    arms = arms_of([1, 4], [16], [1], ["tangent"], [(4, 5)])

    assert estimator_prices(measured(tmp_path, arms)) == []
