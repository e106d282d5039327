"""Populations: what their devices have in common with the measured ones, and what not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from android_harness.facts.device_facts import DeviceFacts
from android_harness.fake_phone.recorded_facts import recorded_facts
from device_bench.errors import PopulationError
from device_bench.population.kinds import PopulationRule, kinds_of, phone_kinds
from device_bench.population.phone_classes import phone_classes
from device_bench.population.population import REASON, population
from device_bench.profiles.profile import BackendProfile, Profile
from device_bench.profiles.profile_files import read_profiles, write_profiles
from exporters.errors import ContractError
from tests.toolkit.made_profiles import arm, cost, interval, profile

CLASSES = phone_classes()
ALIKE = PopulationRule(spread=0.0, sustained=(1.0, 1.0))


def measured(facts: DeviceFacts = CLASSES["high-2018"], **given: object) -> Profile:
    """Of a phone with 4 threads, as many as its fastest cores."""
    arms = tuple(
        each.model_copy(update={"threads": 4})
        for each in (
            arm(1, 1.0, joules=2.0),
            arm(8, 0.5, estimator="tangent"),
            arm(1, 0.25, layers=(2, 3)),
        )
    )
    made = profile("adb:BASE", **{"arms": arms, "tangents": cost(0.4), **given})
    return made.model_copy(update={"device": facts})


def with_weights(base: Profile) -> Profile:
    """What a pass takes there is all for reading a weight byte."""
    backend = only_backend(base)
    assert backend.cost is not None and backend.shape is not None
    cost = backend.cost.model_copy(
        update={"fixed_s": 0.0, "s_per_weight_byte": backend.cost.fixed_s}
    )
    shape = backend.shape.model_copy(update={"layer_weight_bytes": 1})
    return base.model_copy(
        update={"backends": (backend.model_copy(update={"cost": cost, "shape": shape}),)}
    )


def only_backend(profile: Profile) -> BackendProfile:
    (backend,) = profile.backends
    return backend


def phones(base: Profile, facts: dict[str, DeviceFacts], devices: int = 1) -> list[Profile]:
    kinds, _ = phone_kinds([base], facts, ALIKE)
    return list(population(kinds, devices, ALIKE, seed=0))


@pytest.mark.parametrize("as_phone", [False, True])
def test_a_population_of_a_measured_device_gives_back_its_times(as_phone: bool) -> None:
    base = measured()
    kinds = kinds_of([base])
    if as_phone:
        kinds, _ = phone_kinds([base], {"same": base.device}, ALIKE)

    for device in population(kinds, 3, ALIKE, seed=0):
        found, known = only_backend(device), only_backend(base)
        assert (found.cost, found.tangent_cost) == (known.cost, known.tangent_cost)
        assert [each.seconds_per_probe for each in found.arms] == [
            each.seconds_per_probe for each in known.arms
        ]
        assert {each.provenance for each in found.arms} == {found.cost_provenance} == {"modelled"}


def test_who_was_not_measured_is_never_valid() -> None:
    for device in phones(measured(), CLASSES, devices=len(CLASSES)):
        backend = only_backend(device)
        assert (backend.verdict, backend.reasons) == ("suspect", (REASON,))
        assert device.derivation is not None
        assert device.derivation.measured_on == "adb:BASE"
        parameters = {each.name: each for each in device.derivation.parameters}
        assert "assumed" in parameters["compute_factor"].source
        assert parameters["spread"].source == "assumed"


def test_computing_and_reading_memory_grow_by_their_own_factors() -> None:
    base = with_weights(measured())
    (device,) = phones(base, {"old": CLASSES["entry-2015"]})
    assert device.derivation is not None
    factors = {each.name: each.value for each in device.derivation.parameters}
    before, after = only_backend(base).cost, only_backend(device).cost
    assert before is not None and after is not None

    assert after.s_per_flop == pytest.approx(before.s_per_flop * factors["compute_factor"])
    assert after.s_per_weight_byte == pytest.approx(
        before.s_per_weight_byte * factors["memory_factor"]
    )
    # An arm grows as the model: half of its seconds are of the tokens.
    mean = (factors["compute_factor"] + factors["memory_factor"]) / 2
    assert only_backend(device).arms[0].seconds_per_probe.value == pytest.approx(mean)
    assert only_backend(device).arms[0].threads == 4


@settings(max_examples=25)
@given(st.sampled_from(sorted(CLASSES)), st.floats(1, 4))
def test_a_phone_with_a_faster_clock_takes_less_time(name: str, times: float) -> None:
    facts = CLASSES[name]
    faster = facts.model_copy(
        update={
            "clusters": tuple(
                each.model_copy(
                    update={"max_frequency_khz": int((each.max_frequency_khz or 0) * times)}
                )
                for each in facts.clusters
            )
        }
    )
    before, after = phones(measured(), {"plain": facts, "faster": faster}, devices=2)

    for one, other in zip(only_backend(before).arms, only_backend(after).arms, strict=True):
        assert other.seconds_per_probe.value <= one.seconds_per_probe.value


def test_the_nearest_measured_device_is_taken() -> None:
    slow = measured(CLASSES["entry-2015"]).model_copy(update={"target": "slow"})
    fast = measured(CLASSES["high-2024"]).model_copy(update={"target": "fast"})
    kinds, _ = phone_kinds(
        [slow, fast], {name: CLASSES[name] for name in ("mid-2017", "high-2023")}, ALIKE
    )

    assert [kind.measured.target for kind in kinds] == ["slow", "fast"]


def test_a_seed_gives_the_same_devices() -> None:
    kinds, _ = phone_kinds([measured()], CLASSES, PopulationRule())
    one, same, other = (list(population(kinds, 30, PopulationRule(), seed)) for seed in (7, 7, 8))

    assert one == same != other
    assert len({device.target for device in one}) == 30


def test_devices_of_a_kind_spread_as_asked() -> None:
    rule = PopulationRule(spread=0.2)
    seconds = [
        only_backend(device).arms[0].seconds_per_probe.value
        for device in population(kinds_of([measured()]), 2000, rule, seed=0)
    ]

    assert np.std(np.log(seconds)) == pytest.approx(0.2, rel=0.1)
    assert np.median(seconds) == pytest.approx(1.0, rel=0.03)


def test_how_phones_slow_down_is_drawn_only_where_nobody_measured_it() -> None:
    rule = PopulationRule(sustained=(1.2, 1.4))
    for hot, expected in ((None, (1.2, 1.4)), (interval(1.7), (1.7, 1.7))):
        kinds, _ = phone_kinds([measured(sustained=hot)], CLASSES, rule)
        for device in population(kinds, 20, rule, seed=0):
            factor = only_backend(device).sustained_factor
            assert factor is not None and expected[0] <= factor.value <= expected[1]
    (itself,) = population(kinds_of([measured()]), 1, rule, seed=0)
    assert only_backend(itself).sustained_factor is None


def test_memory_is_the_phones_and_energy_is_not_guessed() -> None:
    (device,) = phones(measured(), {"old": CLASSES["entry-2015"]})
    assert device.device.memory_total_bytes == 2 << 30
    assert {each.joules_per_probe for each in only_backend(device).arms} == {None}
    assert only_backend(device).peak_memory_bytes == only_backend(measured()).peak_memory_bytes


def test_all_recorded_phones_can_be_modelled(shared_data: Path) -> None:
    recorded = {
        path.stem: recorded_facts(path)
        for path in sorted((shared_data / "phones" / "proc_sys").glob("*.json"))[:12]
    }
    kinds, left_out = phone_kinds([measured()], recorded, ALIKE)

    assert [kind.name for kind in kinds] == list(recorded) and not left_out


def test_what_cannot_be_modelled_is_refused_or_left_out() -> None:
    nothing = measured().device.model_copy(update={"clusters": ()})
    kinds, left_out = phone_kinds([measured()], {"blank": nothing, **CLASSES}, ALIKE)
    assert left_out == {"blank": "its facts do not tell its cores"}
    assert len(kinds) == len(CLASSES)
    with pytest.raises(PopulationError, match="no phone's facts suffice: blank"):
        phone_kinds([measured()], {"blank": nothing}, ALIKE)
    with pytest.raises(PopulationError, match="cannot be compared with phones"):
        phone_kinds([measured(nothing)], CLASSES, ALIKE)
    with pytest.raises(PopulationError, match="is invalid"):
        kinds_of([measured(verdict="invalid")])
    with pytest.raises(PopulationError, match="is itself modelled"):
        kinds_of(phones(measured(), CLASSES))
    vulkan = only_backend(measured()).model_copy(update={"backend": "ggml-vulkan"})
    with pytest.raises(PopulationError, match="no backend that computes on the cores"):
        phone_kinds([measured().model_copy(update={"backends": (vulkan,)})], CLASSES, ALIKE)


def test_a_file_of_many_profiles_reads_back(tmp_path: Path) -> None:
    devices = phones(measured(), CLASSES, devices=20)
    path = tmp_path / "fleet.jsonl"
    write_profiles(path, devices)

    assert read_profiles(path) == devices
    devices[0].write(tmp_path / "one.json")
    assert read_profiles(tmp_path / "one.json") == devices[:1]


def test_a_bad_line_of_many_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fleet.jsonl"
    line = measured().model_dump_json()
    path.write_text(f"{line}\n\n{line.replace('target', 'tarket', 1)}\n")
    with pytest.raises(ContractError, match=r"capability profile on line 3.*tarket") as refusal:
        read_profiles(path)
    assert refusal.value.file == path
    path.write_text("\n")
    with pytest.raises(ContractError, match="holds no capability profile"):
        read_profiles(path)
    with pytest.raises(ContractError, match="JSON Lines"):
        write_profiles(tmp_path / "fleet.json", [measured()])
