"""The cooldown gate, on a clock that only sleep moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.device_status import DeviceStatus
from android_harness.facts.thermal import Temperature, ThermalReading
from device_bench.conditions.cooldown import POLL_S, CooldownGate, GatePassed

GROUPS = ("skin", "battery", "soc")


def told(heat: Mapping[str, float]) -> DeviceStatus:
    temperatures = (
        Temperature(name=kind, kind=kind, celsius=celsius, status=None)
        for kind, celsius in heat.items()
    )
    return DeviceStatus(
        thermal=ThermalReading(temperatures=tuple(temperatures), source="made up" if heat else None)
    )


class Device:
    """Tells one temperature after the other, the last for ever; counts looks and seconds."""

    def __init__(self, *heats: Mapping[str, float] | float, **gate: object) -> None:
        self.heats = [each if isinstance(each, Mapping) else {"skin": each} for each in heats]
        self.looks = 0
        self.now_s = 0.0
        self.words: list[str] = []
        self.gate = CooldownGate(**gate, clock=lambda: self.now_s, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now_s += max(seconds, 0.001)  # as on a real clock, time always moves

    def look(self) -> DeviceStatus:
        heat = self.heats[min(self.looks, len(self.heats) - 1)]
        self.looks += 1
        return told(heat)

    def job(self, status: DeviceStatus | None = None) -> GatePassed:
        return self.gate.wait(self.look, lambda words, *_: self.words.append(words), status)


def test_a_cool_device_begins_at_once() -> None:
    device = Device(36.9)

    passed = device.job()

    assert (passed.outcome, passed.waited_s, device.looks) == ("cool", 0, 1)
    assert device.words == []


def test_a_hot_device_is_asked_until_it_is_cool_and_says_so() -> None:
    device = Device(30, 41, 39, 36.5)
    device.job()

    passed = device.job()

    assert (passed.outcome, passed.waited_s) == ("cooled down", 2 * POLL_S)
    assert passed.status == told({"skin": 36.5})
    assert device.words[0] == "cooling down, waits for skin 41.0 °C to reach 37 °C, 600 s at most"


def test_a_device_that_stays_hot_is_let_through_after_the_patience() -> None:
    device = Device(30, 45, 44, 43, 42, patience_s=12)
    device.job()

    passed = device.job()

    assert (passed.outcome, passed.waited_s) == ("timed out", 12)


def test_each_group_may_be_three_degrees_above_the_sweeps_begin() -> None:
    device = Device(
        {"skin": 30, "soc": 50},
        {"skin": 37, "soc": 53},
        {"skin": 36, "soc": 54},
        {"skin": 30, "soc": 50},
    )
    assert device.job().outcome == device.job().outcome == "cool"

    assert device.job().outcome == "cooled down"
    assert "soc 54.0 °C to reach 53 °C" in device.words[0] and "skin" not in device.words[0]


def test_a_resumed_sweep_has_the_limits_of_its_begin() -> None:
    device = Device({"soc": 70}, {"soc": 52}, heat_at_begin={"soc": 50})

    assert device.job().outcome == "cooled down"


def test_a_device_without_sensors_is_not_waited_for() -> None:
    device = Device({})

    assert device.job().outcome == "no temperature"
    assert (device.looks, device.now_s) == (1, 0)


def test_the_gate_can_be_off() -> None:
    device = Device(90, above_c=None)

    assert (device.job().outcome, device.now_s) == ("off", 0)


def test_a_sensor_that_never_moves_is_waited_for_once() -> None:
    device = Device(30, 45, patience_s=60)
    device.job()

    assert device.job().outcome == "timed out"
    assert device.job().outcome == "no temperature"
    assert device.now_s == 60


def test_a_hot_sensor_that_falls_silent_has_not_cooled_down() -> None:
    device = Device(30, 45, {}, {"battery": 30}, patience_s=60)
    device.job()

    assert device.job().outcome == "timed out"


def test_what_the_device_has_just_said_is_not_asked_again() -> None:
    device = Device(30)

    assert device.job(told({"skin": 31})).status == told({"skin": 31})
    assert device.looks == 0


@given(
    st.lists(st.dictionaries(st.sampled_from(GROUPS), st.floats(1, 120)), min_size=1, max_size=50),
    st.floats(0, 100),
)
def test_no_job_waits_longer_than_the_patience_or_begins_hot_unmarked(
    heats: list[dict[str, float]], patience_s: float
) -> None:
    device = Device(*heats, patience_s=patience_s)
    limits: dict[str, float] = {group: max(37.0, at + 3) for group, at in heats[0].items()}
    for _ in range(3):
        passed = device.job()
        assert passed.waited_s <= patience_s + 0.01
        if passed.outcome == "timed out":
            return  # a sensor may be taken for stuck from here on
        sensors: Iterable[Temperature] = passed.status.thermal.temperatures
        assert all(each.celsius <= limits.get(each.name, 37.0) for each in sensors)
