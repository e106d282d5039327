from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.thermal import (
    ThermalReading,
    parse_hardware_properties,
    parse_thermal_zones,
    parse_thermalservice,
)

# In the format of `dumpsys hardware_properties` of Android 7 to 9, written for this test.
OLD_SERVICE = """****** Dump of HardwarePropertiesManagerService ******
CPU temperatures: [45.1, 46.0, -3.4028235E38]
CPU throttling temperatures: [95.0, 95.0, 95.0]
CPU shutdown temperatures: [125.0, 125.0, 125.0]
CPU vr throttling temperatures: [58.0, 58.0, 58.0]
GPU temperatures: [44.0]
GPU throttling temperatures: [NaN]
Battery temperatures: [31.1]
Skin temperatures: []
Fan speed: []
****** End of HardwarePropertiesManagerService dump ******
"""


def test_pixel_8(shared_data: Path) -> None:
    reading = parse_thermalservice(
        (shared_data / "phones" / "dumpsys" / "pixel8-thermalservice.txt").read_text()
    )

    assert (reading.status, reading.status_overridden) == (0, False)
    assert reading.source == "dumpsys thermalservice, HAL"  # BIG is 69 °C among the cached ones
    by_name = {sensor.name: sensor for sensor in reading.temperatures}
    assert len(by_name) == len(reading.temperatures) == 22  # of 27; five have no value
    assert by_name.keys().isdisjoint(
        ["thb_hda", "VIRTUAL-USB-UI", "VIRTUAL-USB-THROTTLING", "VIRTUAL-USB-UI-SUB0"]
    )
    assert (by_name["BIG"].celsius, by_name["BIG"].kind) == (39.0, "cpu")
    assert (by_name["G3D"].celsius, by_name["G3D"].kind) == (37.0, "gpu")
    assert (by_name["TPU"].celsius, by_name["TPU"].kind) == (37.0, "npu")
    assert by_name["cam_therm"].status == 1
    assert by_name["quiet_therm"].kind is None
    skin, battery = reading.hottest("skin"), reading.hottest("battery")
    assert skin is not None and (skin.name, skin.celsius) == ("VIRTUAL-SKIN", 33.61866)
    assert battery is not None and battery.celsius == 34.300003
    assert reading.hottest("modem") is None
    cooling = {device.name: (device.kind, device.level) for device in reading.cooling}
    assert len(cooling) == 8
    assert cooling["thermal-gpufreq-0"] == ("gpu", 0)


def test_emulator(shared_data: Path) -> None:
    reading = parse_thermalservice(
        (shared_data / "phones" / "dumpsys" / "emulator-thermalservice.txt").read_text()
    )

    assert reading.status == 0
    (sensor,) = reading.temperatures
    assert (sensor.name, sensor.kind, sensor.celsius) == ("test temperature sensor", "skin", 30.8)
    (device,) = reading.cooling
    assert (device.kind, device.level) == ("fan", 100)


def test_cached_temperatures_are_named_as_such() -> None:
    reading = parse_thermalservice(
        "IsStatusOverride: true\nThermal Status: 2\nCached temperatures:\n"
        "\tTemperature{mValue=66.0, mType=0, mName=CPU, big {0}, mStatus=2}\n"
        "HAL Ready: false\n"
    )

    assert (reading.status, reading.status_overridden) == (2, True)
    assert [sensor.name for sensor in reading.temperatures] == ["CPU, big {0}"]
    assert reading.source == "dumpsys thermalservice, cached"


@pytest.mark.parametrize(
    "value", ["NaN", "0.0", "-40.0", "-127.0", "3.4028235E38", "Infinity", "?"]
)
def test_sensors_without_a_value_are_left_out(value: str) -> None:
    reading = parse_thermalservice(
        "Current temperatures from HAL:\n"
        f"\tTemperature{{mValue={value}, mType=3, mName=skin, mStatus=0}}\n"
    )

    assert reading == ThermalReading()


def test_battery_limits_are_not_temperatures() -> None:
    reading = parse_thermalservice(
        "Current temperatures from HAL:\n"
        "\tTemperature{mValue=68.0, mType=8, mName=soc, mStatus=0}\n"
        "\tTemperature{mValue=31.0, mType=0, mName=cpu, mStatus=0}\n"
    )

    assert [sensor.name for sensor in reading.temperatures] == ["cpu"]


def test_before_android_10() -> None:
    reading = parse_hardware_properties(OLD_SERVICE)

    assert reading.status is None
    assert [(sensor.name, sensor.kind, sensor.celsius) for sensor in reading.temperatures] == [
        ("cpu0", "cpu", 45.1),
        ("cpu1", "cpu", 46.0),
        ("gpu0", "gpu", 44.0),
        ("battery0", "battery", 31.1),
    ]


def test_zones_of_the_kernel() -> None:
    zones = {
        "cpu-1-0-usr": "45600",
        "tsens_tz_sensor3": "47",  # whole degrees, as Linux 3.10 of Qualcomm
        "pmi8998-vbat-lvl0": "3975",
        "pm8150b-ibat-lvl0": "1200",
        "soc": "68",
        "pm8150b-bcl-lvl0": "0",
        "mtktspa": "-127000",
        "quiet-therm": "",
        "aoss0-usr": "0",
    }
    files: dict[str, str] = {}
    for number, (name, value) in enumerate(zones.items()):
        folder = f"/sys/class/thermal/thermal_zone{number}"
        files |= {f"{folder}/type": f"{name}\n", f"{folder}/temp": f"{value}\n"}

    reading = parse_thermal_zones(files)

    assert [(sensor.name, sensor.celsius) for sensor in reading.temperatures] == [
        ("cpu-1-0-usr", 45.6),
        ("tsens_tz_sensor3", 47.0),
    ]
    assert parse_thermal_zones({}).source is None


LINES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["Cached temperatures:", "Current temperatures from HAL:", "CPU temperatures: [", "\t"]
    ),
    st.builds(
        "\tTemperature{{mValue={}, mType={}, mName={}, mStatus={}}}".format,
        st.one_of(st.floats(), st.text(max_size=8)),
        st.integers(-2, 25),
        st.text(max_size=8),
        st.integers(-1, 9),
    ),
    st.builds("Thermal Status: {}".format, st.integers(-1, 200)),
    st.builds("CPU temperatures: {}".format, st.lists(st.floats(), max_size=4)),
)


@given(st.lists(LINES, max_size=10))
def test_no_dump_breaks_the_parsers(lines: list[str]) -> None:
    text = "\n".join(lines)
    for reading in (parse_thermalservice(text), parse_hardware_properties(text)):
        assert all(sensor.celsius for sensor in reading.temperatures)
        assert ThermalReading.model_validate_json(reading.model_dump_json()) == reading


@given(
    st.dictionaries(
        st.from_regex(r"/sys/class/thermal/thermal_zone[0-9]{1,3}/(type|temp)", fullmatch=True),
        st.one_of(st.text(max_size=20), st.integers().map(str)),
        max_size=6,
    )
)
def test_no_zones_break_the_parser(files: dict[str, str]) -> None:
    reading = parse_thermal_zones(files)

    assert ThermalReading.model_validate_json(reading.model_dump_json()) == reading
