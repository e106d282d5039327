"""Estimators that a profile calls noise are not offered, and calibrated steps become the run's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made_profiles import NOW, arm, cost, numerics, profile, slope_errors

from android_harness.job import Estimator
from device_bench.profiles.profile import Profile
from toolkit.allocation.allocate import allocate
from toolkit.allocation.choose_epsilon import calibrated_epsilon
from toolkit.allocation.choose_estimator import choose_estimator
from toolkit.allocation.contract import Allocation
from toolkit.errors import AllocationError


def divide(profiles: list[Profile]) -> Callable[[Estimator], Allocation]:
    return lambda estimator: allocate(
        profiles, probes=12, batch=4, tokens=32, now=NOW, estimator=estimator
    )


def test_a_device_whose_slopes_are_noise_is_left_out_with_the_reason() -> None:
    loud = profile("loud", seconds=0.01, numerics=numerics(central=-0.01))
    fine = profile("fine", seconds=1.0, numerics=numerics(central=0.01))

    allocation = divide([loud, fine])("central")

    assert [device.target for device in allocation.devices] == ["fine"]
    (left,) = allocation.left_out
    assert (left.target, left.reason) == ("loud", "its slopes by central are noise")


def test_noise_by_one_estimator_leaves_the_others() -> None:
    loud = profile("loud", tangents=cost(1.0), numerics=numerics(central=-0.01, tangent=None))

    assert divide([loud])("tangent").planned_probes == 12
    with pytest.raises(AllocationError, match="its slopes by central are noise"):
        divide([loud])("central")


def test_another_backend_of_the_device_may_still_take_part() -> None:
    loud = profile("phone", seconds=0.01, numerics=numerics(central=-0.01))
    fine = profile("phone", seconds=1.0, numerics=numerics(central=0.01)).backends[0]
    both = loud.model_copy(
        update={"backends": (*loud.backends, fine.model_copy(update={"backend": "xnnpack"}))}
    )

    (device,) = divide([both])("central").devices

    assert (device.backend, device.probes) == ("xnnpack", 12)


def test_auto_passes_over_an_estimator_of_noise_however_fast() -> None:
    arms = tuple(arm(1, s, estimator=e) for e, s in (("central", 0.01), ("tangent", 1.0)))
    loud = profile(
        "loud",
        arms=arms,
        differences=False,
        errors=slope_errors(central=0.1, tangent=0.1),
        numerics=numerics(central=-0.01, tangent=None),
    )

    chosen = choose_estimator([loud], divide([loud]))

    assert chosen.estimator == "tangent"
    assert any("by central are noise" in note for note in chosen.notes)


def test_the_runs_step_is_the_median_of_the_devices_that_work() -> None:
    profiles = [
        profile(name, numerics=numerics(central=step, forward=1e-4))
        for name, step in (("a", 0.01), ("b", 0.02), ("c", 0.05))
    ]
    idle = profile("idle", seconds=1e9, numerics=numerics(central=1e-5))

    allocation = divide([*profiles, idle])("central")
    found = calibrated_epsilon([*profiles, idle], allocation)

    assert found is not None and found.epsilon == 0.02
    assert (found.lowest, found.highest, found.devices) == (0.01, 0.05, 3)


def test_a_device_without_a_calibrated_step_does_not_count() -> None:
    profiles = [profile("a", numerics=numerics(central=0.01)), profile("b")]

    found = calibrated_epsilon(profiles, divide(profiles)("central"))

    assert found is not None and (found.epsilon, found.devices) == (0.01, 1)


def test_nothing_calibrated_and_tangents_have_no_step() -> None:
    old = [profile("a")]
    assert calibrated_epsilon(old, divide(old)("central")) is None
    exact = [profile("a", tangents=cost(1.0), numerics=numerics(central=0.01, tangent=None))]
    assert calibrated_epsilon(exact, divide(exact)("tangent")) is None
