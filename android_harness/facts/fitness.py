"""Whether a device is in a state to be measured in, and if not, why and what to do.

A rule looks at what the device is and how it fares, and returns a reason or None. What cannot be
known is a reason too: a measurement under unknown conditions cannot be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from android_harness.facts.device_facts import DeviceFacts
from android_harness.facts.device_status import DeviceStatus
from exporters.contract import Part

Affects = Literal["time", "energy", "time and energy"]

# AndroidX Benchmark refuses below this level.
_LOWEST_BATTERY_PERCENT = 25
# Where react-native-executorch and OmniInfer let a device cool down to before they measure.
WARMEST_C = 37.0
# Services of a booting phone still start for minutes.
_SHORTEST_UPTIME_S = 180
# A vendor's own ceiling a few percent below the hardware's is no throttling.
_LOWEST_FREQUENCY_SHARE = 0.9


class Unfit(Part):
    """A reason not to measure now."""

    code: str  # for scripts; does not change between versions
    affects: Affects
    text: str
    remedy: str


def fit_to_measure(facts: DeviceFacts, status: DeviceStatus) -> tuple[Unfit, ...]:
    """All reasons against measuring now; empty: the device is fit, as far as it tells."""
    found = (rule(facts, status) for rule in _RULES)
    return tuple(reason for reason in found if reason is not None)


def _emulator(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if not facts.emulator:
        return None
    return Unfit(
        code="EMULATOR",
        affects="time and energy",
        text="this is an emulator: its times are those of the machine below it",
        remedy="use a phone",
    )


def _engineering_build(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if facts.build_type != "eng":
        return None
    return Unfit(
        code="ENG-BUILD",
        affects="time and energy",
        text="the system is an engineering build, which is slower than what users have",
        remedy="install a user or userdebug build",
    )


def _uptime(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if status.uptime_s is None or status.uptime_s >= _SHORTEST_UPTIME_S:
        return None
    return Unfit(
        code="JUST-BOOTED",
        affects="time and energy",
        text=f"the device booted {status.uptime_s:.0f} s ago",
        remedy=f"wait until it has been up for {_SHORTEST_UPTIME_S} s",
    )


def _battery_level(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    level = status.battery.level_percent
    if level is None or level >= _LOWEST_BATTERY_PERCENT:
        return None
    return Unfit(
        code="LOW-BATTERY",
        affects="time and energy",
        text=f"the battery is at {level:.0f} %, below {_LOWEST_BATTERY_PERCENT} %: "
        "phones slow down to save it",
        remedy=f"charge it to {_LOWEST_BATTERY_PERCENT} % or more",
    )


def _plugged(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    battery = status.battery
    if not battery.plugged or not (facts.os == "android" or battery.present):
        return None
    return Unfit(
        code="PLUGGED",
        affects="energy",
        text=f"the device draws current from {' and '.join(battery.plugged_into)}: "
        "what the battery's gauge shows is not what it uses",
        remedy="measure energy over Wi-Fi with the cable off, or with the hub's port switched off",
    )


def _battery_unknown(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if facts.os != "android" or status.battery.present is False:
        return None
    if status.battery.level_percent is not None:
        return None
    return Unfit(
        code="BATTERY-UNKNOWN",
        affects="time and energy",
        text="the device does not tell its battery's level",
        remedy="look at its screen, and charge it if it is low",
    )


def _set_by_hand(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if not (status.battery.updates_stopped or status.thermal.status_overridden):
        return None
    return Unfit(
        code="FAKED-READINGS",
        affects="time and energy",
        text="someone has set the battery or thermal state by hand: it tells nothing",
        remedy="run `adb shell dumpsys battery reset` and `adb shell cmd thermalservice reset`",
    )


def _throttling(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if not status.thermal.status:
        return None
    return Unfit(
        code="THROTTLING",
        affects="time and energy",
        text=f"the thermal status is {status.thermal.status} (0 is none, 6 is shutdown)",
        remedy="let it cool down: out of its case, off its charger, screen off",
    )


def _warm(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    readings = [
        (sensor.celsius, sensor.name)
        for kind in ("skin", "battery")
        if (sensor := status.thermal.hottest(kind)) is not None
    ]
    if status.battery.celsius is not None:
        readings.append((status.battery.celsius, "battery"))
    if not readings or max(readings)[0] <= WARMEST_C:
        return None
    celsius, name = max(readings)
    return Unfit(
        code="WARM",
        affects="time and energy",
        text=f"{name} has {celsius:.1f} °C, above {WARMEST_C:.0f} °C: it will throttle early",
        remedy="let it cool down: out of its case, off its charger, screen off",
    )


def _heat_unknown(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if facts.os != "android" or status.thermal.status is not None:
        return None
    return Unfit(
        code="THERMAL-UNKNOWN",
        affects="time and energy",
        text="the device does not tell its thermal status (Android 10 and later do)",
        remedy="compare the first repetitions of a sweep with the last ones",
    )


def _held_back(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    held = [
        limit
        for limit in status.frequency_limits
        if limit.limit_khz < _LOWEST_FREQUENCY_SHARE * limit.hardware_khz
    ]
    if not held:
        return None
    worst = min(held, key=lambda limit: limit.limit_khz / limit.hardware_khz)
    return Unfit(
        code="FREQUENCY-LIMITED",
        affects="time and energy",
        text=f"core {worst.core} is held at {worst.limit_khz / 1e6:.2f} of "
        f"{worst.hardware_khz / 1e6:.2f} GHz",
        remedy="let it cool down, wake its screen, and switch power saving off",
    )


def _saving_power(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if not status.power.power_save:
        return None
    return Unfit(
        code="POWER-SAVER",
        affects="time and energy",
        text="the battery saver is on",
        remedy="run `adb shell settings put global low_power 0`",
    )


def _asleep(facts: DeviceFacts, status: DeviceStatus) -> Unfit | None:
    if facts.os != "android":
        return None
    power = status.power
    if power.wakefulness is None and power.screen is None:
        return Unfit(
            code="SCREEN-UNKNOWN",
            affects="time and energy",
            text="the device does not tell whether it is awake",
            remedy="wake it, and keep its screen in one state for all runs",
        )
    if power.wakefulness in ("awake", None) and power.screen in ("on", None):
        return None
    return Unfit(
        code="NOT-AWAKE",
        affects="time and energy",
        text=f"the device is {power.wakefulness or 'not awake'}, its screen is "
        f"{power.screen or 'unknown'}: it may slow down or suspend a run",
        remedy="run `adb shell input keyevent KEYCODE_WAKEUP`, and `adb shell svc power "
        "stayon true` on a cable",
    )


_RULES: tuple[Callable[[DeviceFacts, DeviceStatus], Unfit | None], ...] = (
    _emulator,
    _engineering_build,
    _uptime,
    _battery_level,
    _battery_unknown,
    _plugged,
    _set_by_hand,
    _throttling,
    _warm,
    _heat_unknown,
    _held_back,
    _saving_power,
    _asleep,
)
