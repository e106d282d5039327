"""What is asked of a phone around its jobs, over ADB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from android_harness.errors import DeviceGoneError
from android_harness.facts.device_facts import parse_device_facts
from android_harness.fake_phone import FakePhone, Faults
from android_harness.fake_phone.recording import Recording
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from device_bench.conditions.cooldown import CooldownGate
from device_bench.conditions.job_boundaries import JobBoundaries

FACTS = parse_device_facts("")


def thermal(celsius: float, status: int = 0) -> str:
    skin = f"\tTemperature{{mValue={celsius}, mType=3, mName=skin, mStatus=0}}\n"
    return f"Thermal Status: {status}\nCurrent temperatures from HAL:\n{skin}"


def phone_of(*answers: str) -> FakePhone:
    """Its thermal service answers so, one time after the other."""
    return FakePhone(scripts=Recording({}, {}, {"dumpsys thermalservice": answers}).scripts)


@pytest.fixture
def hot_phone() -> Iterator[tuple[FakePhone, Target]]:
    """Cool once, hot for two looks, and cool again."""
    answers = (thermal(30), thermal(45, status=2), thermal(41, status=1), thermal(36))
    with phone_of(*answers) as phone, open_target(phone.target) as target:
        yield phone, target


def boundaries_of(
    target: Target,
    on_sleep: Callable[[], None] = lambda: None,
    patience_s: float = 20,
    said: list[str] | None = None,
) -> JobBoundaries:
    words = [] if said is None else said
    return JobBoundaries(
        target,
        FACTS,
        patience_s=patience_s,
        gate=CooldownGate(sleep=lambda seconds: on_sleep()),
        tell=lambda text, *_: words.append(text),
    )


def test_a_job_waits_for_a_phone_and_its_conditions_say_so(
    hot_phone: tuple[FakePhone, Target],
) -> None:
    said: list[str] = []
    boundaries = boundaries_of(hot_phone[1], said=said)

    first = boundaries.after_job(boundaries.before_job())
    second = boundaries.after_job(boundaries.before_job())

    assert (first.gate, second.gate) == ("cool", "cooled down")
    assert [each.celsius for each in first.boundaries] == [{"skin": 30}, {"skin": 45}]
    assert first.after is not None and first.after.thermal_status == 2
    assert [each.celsius for each in second.boundaries] == [{"skin": 36}] * 2
    assert len(said) == 2 and "skin 45.0 °C" in said[0] and "skin 41.0 °C" in said[1]


def test_a_phone_that_is_lost_while_it_cools_down_is_waited_for(
    hot_phone: tuple[FakePhone, Target],
) -> None:
    phone, target = hot_phone
    boundaries = boundaries_of(target, phone.drop_connections)
    boundaries.after_job(boundaries.before_job())

    assert boundaries.before_job().outcome == "cooled down"


def test_a_phone_that_stays_away_is_an_error_after_the_patience(
    hot_phone: tuple[FakePhone, Target],
) -> None:
    phone, target = hot_phone

    def unplug() -> None:
        phone.faults = replace(Faults(), refuse_connections=True)
        phone.drop_connections()

    boundaries = boundaries_of(target, unplug, patience_s=0.5)
    boundaries.after_job(boundaries.before_job())

    with pytest.raises(DeviceGoneError):
        boundaries.before_job()


def test_a_job_is_kept_whose_phone_is_lost_right_after_it(
    hot_phone: tuple[FakePhone, Target],
) -> None:
    phone, target = hot_phone
    boundaries = boundaries_of(target)
    passed = boundaries.before_job()
    phone.faults = replace(Faults(), refuse_connections=True)
    phone.drop_connections()

    conditions = boundaries.after_job(passed)

    assert conditions.after is None and conditions.before.celsius == {"skin": 30}


def test_a_phone_without_temperatures_is_told_of_once() -> None:
    said: list[str] = []
    with phone_of("Thermal Status: 0\n") as phone, open_target(phone.target) as target:
        boundaries = boundaries_of(target, said=said)
        for _ in range(2):
            conditions = boundaries.after_job(boundaries.before_job())

    assert conditions.gate == "no temperature"
    assert said == ["no job waits for the device to cool down: it tells no temperature"]


def test_a_resumed_sweep_knows_how_warm_the_phone_was_at_its_begin() -> None:
    said: list[str] = []
    answers = [thermal(celsius) for celsius in (38, 44, 42, 40)]
    with phone_of(*answers) as phone, open_target(phone.target) as target:
        before = boundaries_of(target)
        first = before.after_job(before.before_job())
        resumed = boundaries_of(target, said=said)
        resumed.resume(first)
        assert resumed.before_job().outcome == "cooled down"

    assert len(said) == 1 and "skin 42.0 °C to reach 41 °C" in said[0]
