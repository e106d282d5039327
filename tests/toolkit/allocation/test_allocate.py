"""From profiles to allocations: who takes part, in which setting, at what cost."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from made_profiles import NOW, arm, cost, interval, profile

from toolkit.allocation.allocate import allocate
from toolkit.allocation.contract import Allocation
from toolkit.allocation.limits import Batches, Floor, Limits
from toolkit.errors import AllocationError
from toolkit.protocol.wire import answer_bytes, request_bytes, update_bytes


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
    allocation = divide(profile("a"), profile("b"), limits=Limits(probes={"a": 1}))
    assert probes_of(allocation) == {"a": 1, "b": 11}


def test_a_cap_for_nobody_is_refused():
    with pytest.raises(AllocationError, match="cap for c"):
        divide(profile("a"), profile("b"), limits=Limits(probes={"c": 1}))


def test_caps_that_leave_too_little_room_are_refused():
    with pytest.raises(AllocationError, match="room for 5 of 12"):
        divide(profile("a"), profile("b"), limits=Limits(probes={"a": 2, "b": 3}))


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
        profile("a", arms=arms),
        directions_per_pass=(1, 4, 8),
        limits=Limits(memory_bytes=300 << 20),
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


def test_bytes_are_those_of_the_wire():
    device = divide(profile("a")).devices[0]
    assert device.bytes_up == answer_bytes(12)
    assert device.bytes_down == request_bytes(4) + update_bytes(12)


def test_the_file_reads_back(tmp_path):
    allocation = divide(profile("a"), profile("b"))
    allocation.write(tmp_path / "allocation.json")
    assert Allocation.read(tmp_path / "allocation.json") == allocation


@pytest.mark.parametrize("field", ["probes", "batch", "tokens"])
def test_a_count_below_one_is_refused(field):
    with pytest.raises(AllocationError):
        divide(profile("a"), **{field: 0})


def device_of(allocation, target):
    return next(device for device in allocation.devices if device.target == target)


# Deadline, energy, heat


def test_a_deadline_caps_the_shares_and_leaves_out_who_cannot_run_one_probe():
    allocation = divide(
        profile("fast"),
        profile("slow", seconds=3.0),
        profile("slowest", seconds=9.5),
        limits=Limits(deadline_s=9.0),
    )
    assert probes_of(allocation) == {"fast": 9, "slow": 3}
    assert "deadline" in reasons_of(allocation)["slowest"]
    assert allocation.deadline_s == 9.0


def test_a_deadline_that_is_too_short_for_the_round_is_refused():
    with pytest.raises(AllocationError, match="deadline leave room for 5 of 12"):
        divide(profile("a"), limits=Limits(deadline_s=5.0))


def test_energy_caps_a_share():
    allocation = divide(
        profile("hungry", joules=5.0), profile("frugal", joules=1.0), limits=Limits(joules=11.0)
    )
    assert probes_of(allocation) == {"frugal": 10, "hungry": 2}
    assert device_of(allocation, "hungry").joules.value == pytest.approx(10.0)
    assert device_of(allocation, "hungry").joules.provenance == "measured"


def test_a_probe_above_the_energy_limit_leaves_the_device_out():
    allocation = divide(
        profile("hungry", joules=50.0), profile("frugal", joules=0.1), limits=Limits(joules=11.0)
    )
    assert "50 J" in reasons_of(allocation)["hungry"]


def test_unknown_energy_is_not_checked_and_says_so():
    allocation = divide(profile("a"), limits=Limits(joules=1e-9))
    assert "not checked" in allocation.devices[0].warnings[0]
    assert any("energy limit was not checked on 1" in note for note in allocation.notes)
    assert allocation.devices[0].joules is None


def test_energy_of_an_unmeasured_setting_follows_from_the_power():
    allocation = divide(profile("a", joules=3.0), batch=8)
    device = allocation.devices[0]
    assert device.joules.provenance == "modelled"
    assert device.joules.value == pytest.approx(3.0 * 12 * device.seconds_per_probe.value)


def test_a_frugal_setting_runs_more_probes_than_a_fast_one():
    arms = (arm(1, 2.0, joules=1.0), arm(8, 1.0, joules=5.0))
    allocation = divide(
        profile("a", arms=arms), directions_per_pass=(1, 8), limits=Limits(joules=12.0)
    )
    assert allocation.devices[0].directions_per_pass == 1
    assert allocation.makespan_s == pytest.approx(24.0)


def test_a_hot_device_is_planned_at_its_sustained_speed():
    allocation = divide(
        profile("hot", sustained=interval(2.0)), profile("cool", sustained=interval(1.0))
    )
    assert probes_of(allocation) == {"cool": 8, "hot": 4}
    assert allocation.makespan_provenance == "modelled"
    assert not any("hot" in note for note in allocation.notes)
    assert any("slow down when hot" in note for note in divide(profile("a")).notes)


# Uncertainty


def test_a_quantile_gives_less_to_a_device_of_unsteady_speed():
    profiles = profile("steady"), profile("unsteady", spread=0.8)
    median = divide(*profiles)
    assert probes_of(median) == {"steady": 6, "unsteady": 6}
    careful = divide(*profiles, quantile=0.9)
    assert probes_of(careful)["unsteady"] < 4
    assert careful.makespan_provenance == "modelled"
    unsteady = device_of(careful, "unsteady")
    assert unsteady.planned_s > unsteady.expected_s
    assert unsteady.late_probability <= 0.1 + 1e-9
    assert careful.expected_late_share < median.expected_late_share


def test_the_last_device_is_late_with_the_probability_of_the_quantile():
    allocation = divide(profile("a", spread=0.3), quantile=0.9)
    assert allocation.devices[0].late_probability == pytest.approx(0.1, abs=1e-6)
    assert allocation.nobody_late_probability == pytest.approx(0.9, abs=1e-6)


def test_an_unknown_model_error_is_pointed_out():
    allocation = divide(profile("a", error=None), batch=8)
    assert any("error of its cost model" in text for text in allocation.devices[0].warnings)


# Floors


def test_a_floor_gives_every_device_probes():
    profiles = profile("slow", seconds=100.0), profile("fast")
    assert probes_of(divide(*profiles)) == {"fast": 12, "slow": 0}
    allocation = divide(*profiles, floor=Floor(probes=1))
    assert probes_of(allocation) == {"fast": 11, "slow": 1}
    assert allocation.makespan_s == pytest.approx(100.0)
    assert allocation.lower_bound_s == pytest.approx(100.0)


def test_a_floor_may_follow_the_examples():
    allocation = divide(
        profile("slow", seconds=100.0),
        profile("fast"),
        floor=Floor(share=0.5, examples={"slow": 3, "fast": 1}),
    )
    assert probes_of(allocation) == {"fast": 8, "slow": 4}  # half of 9, rounded down


def test_a_floor_above_the_round_shrinks_and_says_so():
    allocation = divide(*(profile(name) for name in "abcde"), floor=Floor(probes=9))
    assert min(probes_of(allocation).values()) == 2
    assert sum(probes_of(allocation).values()) == 12
    assert any("do not suffice for the floor" in note for note in allocation.notes)


def test_a_floor_yields_to_a_cap():
    allocation = divide(
        profile("a"), profile("b"), floor=Floor(probes=3), limits=Limits(probes={"a": 1})
    )
    assert probes_of(allocation) == {"a": 1, "b": 11}
    assert any("1 devices allow fewer" in note for note in allocation.notes)


def test_a_floor_does_not_take_the_room_that_the_round_needs():
    """Two good probes within the energy limit are worth more than a floor of three poor ones."""
    arms = (arm(joules=5.0), arm(batch=1, joules=4.0))
    settings = {"batches": Batches((1,), noise_scale=1e6), "limits": Limits(joules=12.0)}
    allocation = divide(profile("a", arms=arms), probes=2, floor=Floor(probes=3), **settings)
    assert (allocation.devices[0].probes, allocation.devices[0].batch) == (2, 4)
    assert any("allow fewer probes than the floor" in note for note in allocation.notes)


# Availability


def test_probes_are_over_provisioned_for_devices_that_may_be_away():
    allocation = divide(profile("a"), profile("b"), availability={"a": 0.5, "b": 0.5})
    assert allocation.planned_probes == 24
    assert allocation.over_provision == pytest.approx(2.0)
    assert allocation.probes == 12


def test_a_device_that_is_away_is_left_out():
    allocation = divide(profile("a"), profile("b"), availability={"a": 0.0})
    assert reasons_of(allocation)["a"] == "it is not available"


def test_a_high_quantile_hands_out_spare_probes_beyond_the_average():
    profiles = [profile(f"p{number}") for number in range(40)]
    availability = {each.target: 0.7 for each in profiles}
    average = divide(*profiles, probes=400, availability=availability)
    sure = divide(*profiles, probes=400, availability=availability, quantile=0.9)
    assert average.over_provision == pytest.approx(1 / 0.7, rel=0.01)
    assert sure.over_provision > average.over_provision * 1.1
    assert sure.makespan_s >= sure.lower_bound_s > average.lower_bound_s


def test_one_unsure_device_can_promise_nothing_and_says_so():
    allocation = divide(profile("a"), availability={"a": 0.5}, quantile=0.9)
    assert any("spare probes" in note for note in allocation.notes)


# Batches and layers


def test_a_small_batch_is_taken_where_its_probes_are_nearly_as_good():
    """Half of the seconds of 4 examples are fixed, so 1 example costs 5/8 of them."""
    small = Batches((1,), noise_scale=0.0)
    assert divide(profile("a"), batches=small).devices[0].batch == 1
    noisy = divide(profile("a"), batches=Batches((1,), noise_scale=100.0))
    assert noisy.devices[0].batch == 4


def test_probes_of_a_smaller_batch_count_less():
    allocation = divide(profile("a"), batches=Batches((1,), noise_scale=0.5))
    device = allocation.devices[0]
    assert device.batch == 1 and device.worth == pytest.approx(0.75)
    assert device.probes * device.worth >= 12
    assert (device.probes - 1) * device.worth < 12


def test_a_weak_phone_adapts_the_top_layers_alone_where_that_was_measured():
    weak = profile("weak", arms=(arm(1, 9.0), arm(1, 2.0, layers=(4, 5))))
    strong = profile("strong")
    # What lies below its layers takes the weak phone at most a pass of 0.5 s, once.
    settings = {"layers": [(4, 5)], "limits": Limits(deadline_s=8.5)}
    allocation = divide(weak, strong, **settings)
    assert device_of(allocation, "weak").fixed_s == pytest.approx(0.5)
    assert device_of(allocation, "weak").layers == (4, 5)
    assert device_of(allocation, "strong").layers is None
    assert probes_of(allocation) == {"strong": 8, "weak": 4}
    assert any("8 of 12 probes reach the layers below 4" in note for note in allocation.notes)
    relaxed = divide(weak, strong, layers=[(4, 5)])
    assert device_of(relaxed, "weak").layers is None


def test_memory_may_call_for_the_top_layers():
    weak = profile("weak", memory=150 << 20, arms=(arm(), arm(memory=50 << 20, layers=(4, 5))))
    assert divide(weak, layers=[(4, 5)]).devices[0].layers == (4, 5)


def test_fewer_layers_save_nothing_where_no_arm_shows_it():
    allocation = divide(
        profile("weak", seconds=9.0),
        profile("strong"),
        layers=[(4, 5)],
        limits=Limits(deadline_s=8.0),
        probes=8,
    )
    assert "deadline" in reasons_of(allocation)["weak"]


# Estimators


def test_the_base_pass_of_the_forward_estimator_is_paid_once():
    allocation = divide(profile("a"), estimator="forward")
    device = allocation.devices[0]
    assert device.fixed_s == pytest.approx(0.5)
    assert allocation.makespan_s == pytest.approx(0.5 + 12 * 0.5)


def test_a_tangent_probe_is_offered_where_it_was_measured_or_modelled():
    """A pass over 9 copies, of which 1 is the point itself, for 8 tangents."""
    measured = profile("a", arms=(arm(8, estimator="tangent"),))
    modelled = profile("b", tangents=cost(0.4))
    allocation = divide(
        measured, modelled, profile("c"), estimator="tangent", directions_per_pass=(8,)
    )
    assert set(probes_of(allocation)) == {"a", "b"}
    assert "what this kind of probe costs" in reasons_of(allocation)["c"]
    seconds = device_of(allocation, "b").seconds_per_probe
    assert seconds.value == pytest.approx((0.2 + 9 * 0.2) / 8)
    assert seconds.provenance == "modelled"
    assert device_of(allocation, "a").seconds_per_probe.provenance == "measured"


def test_the_number_of_tangents_at_once_is_chosen_by_their_cost_model():
    allocation = divide(
        profile("a", tangents=cost(0.4)), estimator="tangent", directions_per_pass=(1, 8)
    )
    assert allocation.devices[0].directions_per_pass == 8


def test_a_tangent_pays_no_base_pass():
    allocation = divide(profile("a", arms=(arm(estimator="tangent"),)), estimator="tangent")
    assert allocation.devices[0].fixed_s == 0.0
    assert allocation.makespan_s == pytest.approx(12.0)


def test_ranges_of_layers_are_modelled_neither_for_tangents_nor_for_differences():
    arms = (arm(1, 9.0, memory=900 << 20), arm(1, 9.0, estimator="tangent", memory=900 << 20))
    known = profile("a", arms=arms, tangents=cost(0.4))
    for estimator in ("central", "tangent"):
        with pytest.raises(AllocationError, match="memory"):
            divide(
                known, estimator=estimator, layers=[(4, 5)], limits=Limits(memory_bytes=100 << 20)
            )


def test_differences_are_not_priced_by_a_profile_of_tangents():
    tangents = profile("a", arms=(arm(estimator="tangent"),), differences=False, tangents=cost(0.4))
    assert probes_of(divide(tangents, estimator="tangent")) == {"a": 12}
    with pytest.raises(AllocationError, match="what this kind of probe costs"):
        divide(tangents, estimator="central")


def test_an_unknown_pass_below_a_range_of_layers_is_pointed_out():
    weak = profile("weak", arms=(arm(1, 2.0, layers=(4, 5)),), differences=False)
    device = divide(weak, layers=[(4, 5)]).devices[0]
    assert device.fixed_s == 0.0
    assert any("once a round is not known" in warning for warning in device.warnings)


def test_memory_of_tangents_is_modelled_from_tangents():
    """100 MB, and 64 MB for every copy of the 4 × 32 tokens, the point itself among them."""
    mb = 1 << 20
    arms = (
        arm(1, 1.0, 228 * mb, estimator="tangent"),
        arm(8, 1.0, (100 + 9 * 64) * mb, estimator="tangent"),
        arm(1, 1.0, 164 * mb),
        arm(8, 1.0, (100 + 8 * 64) * mb),
        arm(1, 1.0, 101 * mb, layers=(4, 5)),  # of no use for any other setting
    )
    device = profile("a", arms=arms, tangents=cost(0.4), memory=None)
    tangents = divide(device, estimator="tangent", directions_per_pass=(4,)).devices[0]
    assert 300 * mb < tangents.peak_memory_bytes.value < 600 * mb
    copies = divide(device, estimator="central", directions_per_pass=(4,)).devices[0]
    assert copies.peak_memory_bytes.value == pytest.approx((100 + 4 * 64) * mb)


def with_layers(base):
    """Its models hold for a model of 6 layers that all have LoRA."""
    (backend,) = base.backends
    shape = backend.shape.model_copy(update={"layers": 6, "adapted_layers": tuple(range(6))})
    return base.model_copy(update={"backends": (backend.model_copy(update={"shape": shape}),)})


def test_a_range_of_layers_is_modelled_where_the_profile_knows_the_layers():
    """2 of 6 layers cost a third of the tokens' seconds, and what a pass costs in any case."""
    weak = with_layers(profile("weak", arms=(arm(1, 9.0),)))
    backend = weak.backends[0]
    costs = backend.cost.model_copy(update={"s_per_flop": backend.cost.s_per_flop / 6})
    weak = weak.model_copy(update={"backends": (backend.model_copy(update={"cost": costs}),)})

    device = divide(weak, layers=[(4, 5)], limits=Limits(deadline_s=8.5)).devices[0]

    assert device.layers == (4, 5)
    assert device.seconds_per_probe.provenance == "modelled"
    assert device.seconds_per_probe.value == pytest.approx(2 * (0.25 + 0.25 / 3))
    assert device.fixed_s == pytest.approx(0.5)  # once, through what lies below them
    assert not any("a guess" in warning for warning in device.warnings)


def test_a_range_of_layers_is_a_guess_where_no_arm_tells_layers_from_passes():
    weak = with_layers(profile("weak", arms=(arm(1, 9.0),)))
    backend = weak.backends[0]
    costs = backend.cost.model_copy(update={"undetermined": ("fixed_s", "s_per_weight_byte")})
    weak = weak.model_copy(update={"backends": (backend.model_copy(update={"cost": costs}),)})

    limits = Limits(deadline_s=8.5)
    device = divide(weak, layers=[(4, 5)], limits=limits, probes=2).devices[0]

    assert any("a guess" in warning for warning in device.warnings)


def test_ten_thousand_profiles_are_divided_exactly():
    base = profile("p")
    profiles = [base.model_copy(update={"target": f"p{number}"}) for number in range(10_000)]
    allocation = divide(*profiles, probes=25_000)
    assert sorted(probes_of(allocation).values()) == [2] * 5_000 + [3] * 5_000


@pytest.mark.parametrize(
    "settings",
    [
        {"quantile": 0.0},
        {"quantile": 1.0},
        {"fixed_s": -1.0},
        {"fixed_s": float("nan")},
        {"layers": [(3, 2)]},
        {"availability": {"a": 1.5}},
        {"availability": {"unknown": 0.5}},
        {"floor": Floor(probes=1, examples={"unknown": 1})},
        {"directions_per_pass": ()},
        {"directions_per_pass": (0,)},
    ],
)
def test_what_makes_no_sense_is_refused(settings):
    with pytest.raises(AllocationError):
        divide(profile("a"), **settings)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Limits(deadline_s=0.0),
        lambda: Limits(joules=-1.0),
        lambda: Limits(probes={"a": -1}),
        lambda: Floor(share=1.5),
        lambda: Floor(probes=-1),
        lambda: Batches((), 1.0),
        lambda: Batches((0,), 1.0),
        lambda: Batches((1,), float("nan")),
    ],
)
def test_malformed_limits_are_refused(make):
    with pytest.raises(AllocationError):
        make()


def test_everything_is_finite_json():
    text = divide(profile("a", spread=0.2), quantile=0.9).model_dump_json()
    assert "NaN" not in text and "Infinity" not in text and json.loads(text)["notes"]
