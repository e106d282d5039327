"""`auto`: the estimator by which a round is soonest worth one of exact slopes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_profiles import NOW, arm, cost, profile, slope_errors

from android_harness.job import Estimator
from device_bench.profiles.profile import Profile
from toolkit.allocation.allocate import allocate
from toolkit.allocation.choose_estimator import DIFFERENCE_MARGIN, choose_estimator
from toolkit.allocation.contract import Allocation
from toolkit.allocation.limits import Limits
from toolkit.errors import AllocationError

PROBES = 12


def divide(profiles: list[Profile], **settings: object) -> Callable[[Estimator], Allocation]:
    arguments = {"probes": PROBES, "batch": 4, "tokens": 32, "now": NOW} | settings
    return lambda estimator: allocate(profiles, estimator=estimator, **arguments)  # type: ignore[arg-type]


def choose(*profiles: Profile, **settings: object) -> Allocation:
    return choose_estimator(profiles, divide(list(profiles), **settings))


def arms(central: float, forward: float, tangent: float) -> tuple:
    """One arm of 4 × 32 tokens for each estimator, in seconds per probe."""
    by_name = {"central": central, "forward": forward, "tangent": tangent}
    return tuple(arm(1, seconds, estimator=name) for name, seconds in by_name.items())


def device(name: str, seconds: tuple[float, float, float], **errors: float) -> Profile:
    """Its base pass takes no time, so that makespans are probes times seconds."""
    return profile(name, arms=arms(*seconds), seconds=1e-9, errors=slope_errors(**errors))


def test_exact_slopes_at_the_price_of_others_are_taken() -> None:
    chosen = choose(device("a", (2.0, 1.0, 1.1), central=0.2, forward=0.9, tangent=0.03))
    assert chosen.estimator == "tangent"
    assert chosen.makespan_s == pytest.approx(PROBES * 1.1)


def test_the_reckoning_is_in_the_notes() -> None:
    chosen = choose(device("a", (2.0, 1.0, 1.1), central=0.2, forward=0.9, tangent=0.03))
    assert chosen.notes[:3] == (
        "auto took tangent: 13.2 s · (1 + 0.03²) = 13.2 s (modelled)",
        "auto did not take central: 24 s · (1 + 0.2²) = 25 s (modelled), which count 1.5 times",
        "auto did not take forward: 12 s · (1 + 0.9²) = 21.7 s (modelled), which count 1.5 times",
    )


seconds_of = st.floats(0.1, 10.0)
errors_of = st.floats(0.0, 3.0)


@given(
    seconds=st.tuples(seconds_of, seconds_of, seconds_of),
    errors=st.tuples(errors_of, errors_of, errors_of),
)
def test_no_other_estimator_is_worth_an_exact_round_sooner(
    seconds: tuple[float, float, float], errors: tuple[float, float, float]
) -> None:
    names = ("central", "forward", "tangent")
    chosen = choose(device("a", seconds, **dict(zip(names, errors, strict=True))))
    exact = {
        name: one * (1 + error**2) * (1 if name == "tangent" else DIFFERENCE_MARGIN)
        for name, one, error in zip(names, seconds, errors, strict=True)
    }
    assert exact[chosen.estimator] <= min(exact.values()) * (1 + 1e-6)


def test_the_median_device_decides_how_exact_an_estimator_is() -> None:
    seconds = (1.0, 9.0, 2.0)
    fleet = [
        device("a", seconds, central=0.1, forward=0.1, tangent=0.0),
        device("b", seconds, central=0.1, forward=0.1, tangent=0.0),
        device("c", seconds, central=3.0, forward=3.0, tangent=0.0),
    ]
    assert choose(*fleet).estimator == "central"
    # An error of 3 makes ten slopes worth one.
    worse = [fleet[0], *(device(name, seconds, central=3.0, tangent=0.0) for name in "bc")]
    assert choose(*worse).estimator == "tangent"


def test_devices_without_probes_do_not_count() -> None:
    """Of the slow ones nothing is asked, so their errors are nobody's."""
    slow = [device(name, (900.0, 900.0, 900.0), central=9.0) for name in "bcd"]
    chosen = choose(device("a", (1.0, 9.0, 2.0), central=0.1, tangent=0.0), *slow)
    assert chosen.estimator == "central"


def test_a_difference_that_is_a_little_cheaper_is_not_taken() -> None:
    errors = {"central": 0.1, "forward": 0.1, "tangent": 0.0}
    assert choose(device("a", (9.0, 1.0, 1.4), **errors)).estimator == "tangent"
    assert choose(device("a", (9.0, 1.0, 1.6), **errors)).estimator == "forward"


def test_an_unmeasured_tangent_counts_as_exact_and_says_so() -> None:
    chosen = choose(device("a", (1.0, 1.0, 1.05), central=0.5))
    assert chosen.estimator == "tangent"
    assert "the error is taken as 0 on 1 of 1 devices" in chosen.notes[0]


def test_a_difference_of_unknown_error_is_not_taken_while_another_is_known() -> None:
    chosen = choose(device("a", (1.0, 0.1, 2.0), central=0.1))
    assert chosen.estimator == "central"
    assert "auto did not take forward: 1.2 s, the error of its slopes is not known" in chosen.notes


def test_a_device_that_does_not_tell_is_left_out_of_the_median_and_counted() -> None:
    seconds = (1.0, 9.0, 2.0)
    told = [device(name, seconds, central=0.1, tangent=0.0) for name in "ab"]
    chosen = choose(*told, device("c", seconds, tangent=0.0))
    assert chosen.estimator == "central"
    assert "the error is not known on 1 of 3 devices" in chosen.notes[0]


def test_where_no_error_is_known_central_is_taken() -> None:
    """Forward is twice as fast here, as it mostly is: that does not say that it is better."""
    chosen = choose(profile("a", seconds=2.0))
    assert chosen.estimator == "central"
    assert "not known" in chosen.notes[0]
    assert any(note.startswith("auto cannot take tangent: ") for note in chosen.notes)


def test_an_estimator_may_be_modelled() -> None:
    chosen = choose(
        profile("a", tangents=cost(0.3), errors=slope_errors(central=0.1, tangent=0.02)),
        directions_per_pass=(1, 8),
    )
    assert (chosen.estimator, chosen.devices[0].directions_per_pass) == ("tangent", 8)


def test_the_base_pass_of_forward_differences_counts() -> None:
    """Half a second for a probe and as much before the first one: with one probe, as central."""
    known = profile("a", errors=slope_errors(central=0.1, forward=0.11))
    assert choose(known, probes=1).estimator == "central"
    assert choose(known, probes=100).estimator == "forward"


def test_limits_hold_for_every_estimator() -> None:
    """The tangents of this device do not fit its memory."""
    heavy = (arm(1, 2.0), arm(1, 1.0, 900 << 20, estimator="tangent"))
    known = profile("a", arms=heavy, errors=slope_errors(central=0.5, tangent=0.0))
    assert choose(known).estimator == "tangent"
    chosen = choose(known, limits=Limits(memory_bytes=500 << 20))
    assert chosen.estimator == "central"
    assert any("auto cannot take tangent" in note and "memory" in note for note in chosen.notes)


def test_nothing_to_choose_from_is_one_error() -> None:
    with pytest.raises(AllocationError, match="no profiles"):
        choose()
    with pytest.raises(AllocationError, match=r"^the quantile is above"):
        choose(profile("a"), quantile=2.0)


def test_different_reasons_are_all_said() -> None:
    fleet = profile("a", arms=(arm(1, 1.0, 900 << 20),))
    with pytest.raises(AllocationError, match=r"tangent: .*does not tell.*central: .*memory"):
        choose(fleet, limits=Limits(memory_bytes=500 << 20))
