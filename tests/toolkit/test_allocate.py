"""From profiles to allocations: who takes part, in which setting, at what cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from android_harness.device_facts import DeviceFacts
from device_bench.profile import ArmSummary, BackendProfile, CostModel, Interval, Profile
from toolkit.allocation.allocate import allocate
from toolkit.allocation.contract import Allocation
from toolkit.errors import AllocationError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUNDLE = "a" * 64


def arm(directions, seconds, memory):
    return ArmSummary(
        batch=4,
        tokens=32,
        directions_per_pass=directions,
        estimator="central",
        threads=1,
        repetitions=9,
        seconds_per_probe=Interval(value=seconds, low=seconds, high=seconds),
        relative_spread=0.0,
        peak_memory_bytes=memory,
        provenance="measured",
    )


def profile(
    target,
    *,
    seconds=1.0,
    arms=None,
    verdict="valid",
    reasons=(),
    memory=8 << 30,
    bundle=BUNDLE,
    measured=NOW,
    days=30,
):
    backend = BackendProfile(
        backend="ggml-cpu",
        cost=CostModel(
            fixed_s=seconds / 4,
            per_token_s=seconds / 4 / (4 * 32),
            per_attention_pair_s=0.0,
            per_direction_s=0.0,
            median_relative_error=0.02,
        ),
        cost_provenance="modelled",
        arms=arms or (arm(1, seconds, 100 << 20),),
        peak_memory_bytes=100 << 20,
        verdict=verdict,
        reasons=reasons,
    )
    return Profile(
        target=target,
        device=DeviceFacts.model_construct(memory_total_bytes=memory),
        backends=(backend,),
        bundle_sha256=bundle,
        runner_sha256="b" * 64,
        measured_at=measured,
        expires_at=measured + timedelta(days=days),
    )


def divide(*profiles, probes=12, **settings):
    settings = {"batch": 4, "tokens": 32, "now": NOW} | settings
    return allocate(profiles, probes=probes, **settings)


def probes_of(allocation):
    return {device.target: device.probes for device in allocation.devices}


def reasons_of(allocation):
    return {device.target: device.reason for device in allocation.left_out}


def test_a_device_gets_probes_in_proportion_to_its_speed():
    allocation = divide(profile("slow", seconds=3.0), profile("fast", seconds=1.0))
    assert probes_of(allocation) == {"fast": 9, "slow": 3}
    assert allocation.makespan_s == pytest.approx(9.0)
    assert allocation.lower_bound_s == pytest.approx(9.0)
    assert allocation.makespan_provenance == "measured"


def test_a_device_that_would_only_delay_the_round_gets_nothing():
    allocation = divide(profile("slow", seconds=100.0), profile("fast", seconds=1.0), probes=5)
    assert probes_of(allocation) == {"fast": 5, "slow": 0}
    idle = next(device for device in allocation.devices if device.target == "slow")
    assert (idle.expected_s, idle.bytes_up, idle.bytes_down) == (0.0, 0, 0)


def test_caps_hold():
    allocation = divide(profile("a"), profile("b"), caps={"a": 1})
    assert probes_of(allocation) == {"a": 1, "b": 11}


def test_a_cap_for_nobody_is_refused():
    with pytest.raises(AllocationError, match="cap for c"):
        divide(profile("a"), profile("b"), caps={"c": 1})


def test_caps_that_leave_too_little_room_are_refused():
    with pytest.raises(AllocationError, match="room for 5 of 12"):
        divide(profile("a"), profile("b"), caps={"a": 2, "b": 3})


def test_fixed_seconds_can_make_one_device_better_than_two():
    allocation = divide(
        profile("fast", seconds=1.0), profile("slow", seconds=9.0), probes=8, fixed_s=5.0
    )
    assert probes_of(allocation) == {"fast": 8, "slow": 0}
    assert allocation.makespan_s == pytest.approx(13.0)


def test_expired_invalid_and_foreign_profiles_are_left_out_with_the_reason():
    allocation = divide(
        profile("good"),
        profile("other good"),
        profile("old", measured=NOW - timedelta(days=40)),
        profile("broken", verdict="invalid", reasons=("the clock ran backwards",)),
        profile("foreign", bundle="c" * 64),
    )
    assert set(probes_of(allocation)) == {"good", "other good"}
    reasons = reasons_of(allocation)
    assert "expired" in reasons["old"]
    assert "the clock ran backwards" in reasons["broken"]
    assert "another bundle" in reasons["foreign"]


def test_the_newest_profile_of_a_target_counts():
    allocation = divide(
        profile("phone", seconds=9.0, measured=NOW - timedelta(days=2)), profile("phone")
    )
    assert allocation.makespan_s == pytest.approx(12.0)
    assert "newer" in reasons_of(allocation)["phone"]


def test_a_suspect_profile_takes_part_with_a_warning():
    allocation = divide(profile("hot", verdict="suspect", reasons=("it throttled",)))
    assert "it throttled" in allocation.devices[0].warnings[0]


def test_nobody_left_is_an_error_that_names_everyone():
    with pytest.raises(AllocationError, match=r"old: .*expired"):
        divide(profile("old", measured=NOW - timedelta(days=40)))
    with pytest.raises(AllocationError, match="no profiles"):
        divide()


def test_the_fastest_number_of_directions_that_fits_the_memory_is_chosen():
    arms = (arm(1, 1.0, 100 << 20), arm(4, 0.6, 250 << 20), arm(8, 0.5, 450 << 20))
    roomy = divide(profile("a", arms=arms), directions_per_pass=(1, 4, 8))
    assert roomy.devices[0].directions_per_pass == 8
    tight = divide(
        profile("a", arms=arms), directions_per_pass=(1, 4, 8), memory_limit_bytes=300 << 20
    )
    assert tight.devices[0].directions_per_pass == 4


def test_memory_is_never_modelled_below_what_an_arm_showed():
    arms = (arm(1, 1.0, 100 << 20), arm(8, 0.5, 450 << 20))
    allocation = divide(profile("a", arms=arms), directions_per_pass=(4,))
    memory = allocation.devices[0].peak_memory_bytes
    assert memory.provenance == "modelled"
    assert memory.value == pytest.approx(250 << 20)
    assert allocation.makespan_provenance == "modelled"


def test_a_device_without_the_memory_is_left_out():
    allocation = divide(profile("small", memory=150 << 20), profile("large"))
    assert "memory" in reasons_of(allocation)["small"]
    assert probes_of(allocation) == {"large": 12}


def test_the_wire_carries_seeds_down_and_four_bytes_a_slope_up():
    device = divide(profile("a")).devices[0]
    assert device.bytes_up == 4 * 12
    assert device.bytes_down == 8 * 12 + 4 * 4 + 12 * 12


def test_the_file_reads_back(tmp_path):
    allocation = divide(profile("a"), profile("b"))
    allocation.write(tmp_path / "allocation.json")
    assert Allocation.read(tmp_path / "allocation.json") == allocation


@pytest.mark.parametrize("field", ["probes", "batch", "tokens"])
def test_a_count_below_one_is_refused(field):
    with pytest.raises(AllocationError):
        divide(profile("a"), **{field: 0})
