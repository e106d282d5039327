from __future__ import annotations

from typing import Any

import pytest

from android_harness.facts.device_facts import DeviceFacts, parse_device_facts
from android_harness.facts.device_status import DeviceStatus
from android_harness.facts.fitness import fit_to_measure


def facts(os: str = "android", **changes: Any) -> DeviceFacts:
    return parse_device_facts("").model_copy(
        update={"os": os, "build_type": "user", "emulator": False, **changes}
    )


def status(**changes: dict[str, Any] | float | list[Any]) -> DeviceStatus:
    """A phone on a desk at its best, with changes by part."""
    best: dict[str, Any] = {
        "battery": {
            "present": True,
            "level_percent": 80,
            "plugged": False,
            "celsius": 29.0,
        },
        "thermal": {
            "status": 0,
            "temperatures": [{"name": "skin", "kind": "skin", "celsius": 31.0, "status": 0}],
        },
        "power": {"wakefulness": "awake", "screen": "on", "power_save": False},
        "uptime_s": 3600.0,
        "online_cores": [0, 1],
    }
    for part, change in changes.items():
        best[part] = {**best[part], **change} if isinstance(change, dict) else change
    return DeviceStatus.model_validate(best)


def codes(device: DeviceFacts, now: DeviceStatus) -> list[str]:
    return [reason.code for reason in fit_to_measure(device, now)]


def test_a_phone_at_its_best_is_fit() -> None:
    assert codes(facts(), status()) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"battery": {"level_percent": 24}}, "LOW-BATTERY"),
        ({"battery": {"level_percent": None}}, "BATTERY-UNKNOWN"),
        ({"battery": {"plugged": True, "plugged_into": ["usb"]}}, "PLUGGED"),
        ({"battery": {"updates_stopped": True}}, "FAKED-READINGS"),
        ({"battery": {"celsius": 37.1}}, "WARM"),
        ({"thermal": {"status": 1}}, "THROTTLING"),
        ({"thermal": {"status": None}}, "THERMAL-UNKNOWN"),
        ({"thermal": {"status_overridden": True}}, "FAKED-READINGS"),
        (
            {
                "thermal": {
                    "temperatures": [
                        {"name": "cam_therm", "kind": None, "celsius": 55.0, "status": 0},
                        {"name": "VIRTUAL-SKIN", "kind": "skin", "celsius": 41.0, "status": 0},
                    ]
                }
            },
            "WARM",
        ),
        ({"power": {"power_save": True}}, "POWER-SAVER"),
        ({"power": {"wakefulness": None, "screen": None}}, "SCREEN-UNKNOWN"),
        ({"power": {"wakefulness": "dozing", "screen": "doze"}}, "NOT-AWAKE"),
        ({"power": {"wakefulness": "asleep", "screen": "off"}}, "NOT-AWAKE"),
        ({"power": {"wakefulness": None, "screen": "off"}}, "NOT-AWAKE"),
        ({"uptime_s": 179.0}, "JUST-BOOTED"),
        (
            {"frequency_limits": [{"core": 4, "limit_khz": 793, "hardware_khz": 1989}]},
            "FREQUENCY-LIMITED",
        ),
    ],
)
def test_each_reason_is_named(change: dict[str, Any], code: str) -> None:
    (reason,) = fit_to_measure(facts(), status(**change))

    assert reason.code == code
    assert reason.text and reason.remedy
    assert reason.affects == ("energy" if code == "PLUGGED" else "time and energy")


@pytest.mark.parametrize(
    "change",
    [
        {"battery": {"level_percent": 25, "celsius": 37.0}},
        {"uptime_s": 180.0},
        {"thermal": {"temperatures": [{"name": "a", "kind": "cpu", "celsius": 60, "status": 0}]}},
        {"frequency_limits": [{"core": 4, "limit_khz": 2361, "hardware_khz": 2457}]},
    ],
)
def test_just_within_the_limits_is_fit(change: dict[str, Any]) -> None:
    assert codes(facts(), status(**change)) == []


def test_what_the_device_is_counts_too() -> None:
    assert codes(facts(emulator=True), status()) == ["EMULATOR"]
    assert codes(facts(build_type="eng"), status()) == ["ENG-BUILD"]
    assert codes(facts(build_type="userdebug"), status()) == []


def test_a_board_without_battery_and_screen_is_fit() -> None:
    assert codes(facts(os="linux"), DeviceStatus()) == []
    plugged = DeviceStatus.model_validate({"battery": {"plugged": True, "plugged_into": ["ac"]}})
    assert codes(facts(os="linux"), plugged) == []


def test_a_phone_that_tells_nothing_is_not_called_fit() -> None:
    assert codes(facts(), DeviceStatus()) == [
        "BATTERY-UNKNOWN",
        "THERMAL-UNKNOWN",
        "SCREEN-UNKNOWN",
    ]
