from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.battery import BatteryReading, parse_battery, parse_power_supplies

ON_CHARGER = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  health: 3
  present: true
  level: 170
  scale: 200
  voltage: 4321
  temperature: 402
"""
# In the format of /sys/class/power_supply/*/uevent, written for this test.
SUPPLIES = """POWER_SUPPLY_NAME=usb
POWER_SUPPLY_TYPE=USB_PD
POWER_SUPPLY_ONLINE=1
POWER_SUPPLY_NAME=dc
POWER_SUPPLY_TYPE=Mains
POWER_SUPPLY_ONLINE=0
POWER_SUPPLY_NAME=hidpp_battery_0
POWER_SUPPLY_TYPE=Battery
POWER_SUPPLY_SCOPE=Device
POWER_SUPPLY_CAPACITY=5
POWER_SUPPLY_NAME=battery
POWER_SUPPLY_TYPE=Battery
POWER_SUPPLY_STATUS=Charging
POWER_SUPPLY_HEALTH=Good
POWER_SUPPLY_PRESENT=1
POWER_SUPPLY_CAPACITY=56
POWER_SUPPLY_VOLTAGE_NOW=3812345
POWER_SUPPLY_TEMP=283
POWER_SUPPLY_CHARGE_COUNTER=1520000
"""


def test_pixel_8(shared_data: Path) -> None:
    text = (shared_data / "phones" / "dumpsys" / "pixel8-battery.txt").read_text()

    assert parse_battery(text) == BatteryReading(
        present=True,
        level_percent=68,
        status="discharging",
        health="good",
        plugged=False,
        plugged_into=(),
        millivolts=3975,
        celsius=34.7,
        charge_counter_uah=2726000,
        updates_stopped=False,
        source="dumpsys battery",
    )


def test_a_phone_on_its_cable() -> None:
    reading = parse_battery(ON_CHARGER.replace("\n", "\r\n"))

    assert (reading.level_percent, reading.status, reading.health) == (85, "charging", "overheat")
    assert (reading.plugged, reading.plugged_into) == (True, ("usb",))
    assert (reading.millivolts, reading.celsius) == (4321, 40.2)


def test_values_set_by_hand_are_told_apart() -> None:
    heading, rest = ON_CHARGER.split("\n", 1)
    stopped = f"{heading}\n  (UPDATES STOPPED -- use 'reset' to restart)\n{rest}"

    assert parse_battery(stopped).updates_stopped
    assert not parse_battery(ON_CHARGER).updates_stopped


def test_what_vendors_add_below_does_not_count() -> None:
    reading = parse_battery(ON_CHARGER + "Vendor state:\n  level: 1\n  temperature: 990\n")

    assert (reading.level_percent, reading.celsius) == (85, 40.2)


def test_no_battery_has_no_values() -> None:
    absent = ON_CHARGER.replace("present: true", "present: false")

    assert parse_battery(absent) == BatteryReading(
        present=False, plugged=True, plugged_into=("usb",), source="dumpsys battery"
    )


@pytest.mark.parametrize(
    ("was", "now", "field"),
    [
        ("temperature: 402", "temperature: 0", "celsius"),
        ("temperature: 402", "temperature: -2147483648", "celsius"),
        ("voltage: 4321", "voltage: 0", "millivolts"),
        ("level: 170", "level: -1", "level_percent"),
        ("level: 170", "level: 201", "level_percent"),
        ("scale: 200", "scale: 0", "level_percent"),
        ("status: 2", "status: 1", "status"),
        ("USB powered: true", "", "charge_counter_uah"),
    ],
)
def test_placeholders_are_unknown(was: str, now: str, field: str) -> None:
    assert getattr(parse_battery(ON_CHARGER.replace(was, now)), field) is None


def test_a_device_without_the_service() -> None:
    assert parse_battery("Can't find service: battery\n") == BatteryReading()


def test_power_supplies_of_the_kernel() -> None:
    assert parse_power_supplies(SUPPLIES) == BatteryReading(
        present=True,
        level_percent=56,
        status="charging",
        health="good",
        plugged=True,
        plugged_into=("usb",),
        millivolts=3812,
        celsius=28.3,
        charge_counter_uah=1520000,
        source="/sys/class/power_supply",
    )


def test_a_machine_without_a_battery() -> None:
    mains = "POWER_SUPPLY_NAME=AC\nPOWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE=1\n"

    reading = parse_power_supplies(mains)
    assert (reading.present, reading.level_percent, reading.plugged) == (None, None, True)
    assert parse_power_supplies("") == BatteryReading()


@given(
    st.lists(
        st.one_of(
            st.text(max_size=60),
            st.builds(
                "  {}: {}".format,
                st.sampled_from(["level", "scale", "voltage", "temperature", "present", "status"]),
                st.one_of(st.integers(), st.booleans(), st.text(max_size=6)),
            ),
            st.builds(
                "POWER_SUPPLY_{}={}".format,
                st.sampled_from(["NAME", "TYPE", "ONLINE", "CAPACITY", "TEMP", "VOLTAGE_NOW"]),
                st.one_of(st.integers(), st.sampled_from(["Battery", "USB"]), st.text(max_size=6)),
            ),
        ),
        max_size=12,
    )
)
def test_no_dump_breaks_the_parsers(lines: list[str]) -> None:
    for parse in (parse_battery, parse_power_supplies):
        reading = parse("\n".join(lines))
        assert reading.level_percent is None or 0 <= reading.level_percent <= 100
        assert BatteryReading.model_validate_json(reading.model_dump_json()) == reading
