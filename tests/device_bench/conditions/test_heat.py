"""Which sensors tell how hot a device is."""

from __future__ import annotations

from pathlib import Path

import pytest

from android_harness.facts.device_status import DeviceStatus, parse_device_status
from device_bench.conditions.heat import heat_of

HAL = "@@fwdllm thermal\nThermal Status: 0\nCurrent temperatures from HAL:\n"


def hal(*sensors: tuple[float, int, str]) -> DeviceStatus:
    lines = (
        f"\tTemperature{{mValue={celsius}, mType={kind}, mName={name}, mStatus=0}}\n"
        for celsius, kind, name in sensors
    )
    return parse_device_status(HAL + "".join(lines))


def zones(**sensors: int) -> DeviceStatus:
    root = "/sys/class/thermal/thermal_zone"
    files = (
        f"{root}{number}/type={name}\n{root}{number}/temp={value}\n"
        for number, (name, value) in enumerate(sensors.items())
    )
    return parse_device_status("@@fwdllm files\n" + "".join(files))


def test_the_hottest_of_each_kind_counts_and_vendors_differences_do_not() -> None:
    status = hal((33.6, 3, "skin"), (31, 3, "skin2"), (40, 0, "BIG"), (52, 9, "TPU"), (99, -1, "x"))

    assert heat_of(status) == {"skin": 33.6, "soc": 52}


@pytest.mark.parametrize("lie", [0.0, -40.0, 500.0, float("nan")])
def test_what_no_sensor_can_have_is_no_temperature(lie: float) -> None:
    assert heat_of(hal((lie, 3, "skin"), (38, 0, "BIG"))) == {"soc": 38}


def test_the_kernels_zones_are_known_by_their_names() -> None:
    status = zones(**{"tsens_tz_sensor3": 52000, "cpu-1-0-usr": 54000, "battery": 31000})

    assert heat_of(status) == {"soc": 54, "battery": 31}
    assert heat_of(zones(xo_therm=60000, **{"iwlwifi_1": 50000})) == {}


def test_the_battery_service_tells_of_the_battery_too() -> None:
    text = "@@fwdllm battery\n  present: true\n  level: 50\n  scale: 100\n  temperature: 412\n"

    assert heat_of(parse_device_status(text)) == {"battery": 41.2}


def test_cached_temperatures_may_be_hours_old() -> None:
    text = hal((33.6, 3, "skin")).model_copy()
    cached = text.thermal.model_copy(update={"source": "dumpsys thermalservice, cached"})

    assert heat_of(text.model_copy(update={"thermal": cached})) == {}


def test_a_recorded_phone(shared_data: Path) -> None:
    said = (shared_data / "phones" / "dumpsys" / "pixel8-thermalservice.txt").read_text()

    heat = heat_of(parse_device_status(f"@@fwdllm thermal\n{said}"))

    assert heat == {"skin": 33.61866, "battery": 34.300003, "soc": 39.0}
