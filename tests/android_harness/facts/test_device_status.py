from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.device_status import (
    DeviceStatus,
    FrequencyLimit,
    parse_device_status,
    read_device_status,
)
from android_harness.facts.power import PowerReading, parse_power
from android_harness.fake_phone import FakePhone
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from tests.android_harness.facts.recorded_device import status_of

CPU = "/sys/devices/system/cpu"

# The lines of `dumpsys power` that matter, in the format of Android 13, written for this test.
AWAKE = """Power Manager State:
  mWakefulness=Awake
  mWakefulnessChanging=false
Display Power: state=ON
"""


def answering(**answers: str) -> str:
    """A program that prints a text by its first argument, and fails for others."""
    cases = "".join(f"{name}) cat <<'END'\n{text}\nEND\n;;\n" for name, text in answers.items())
    return f'#!/bin/sh\ncase "$1" in\n{cases}*) exit 1 ;;\nesac\n'


def test_pixel_8(shared_data: Path, private_home: None) -> None:
    dumps = shared_data / "phones" / "dumpsys"
    settings = '#!/bin/sh\ncase "$3" in low_power) echo 0 ;; airplane_mode_on) echo 1 ;; esac\n'
    dumpsys = answering(
        battery=(dumps / "pixel8-battery.txt").read_text(),
        thermalservice=(dumps / "pixel8-thermalservice.txt").read_text(),
        power=AWAKE,
    )
    files = {
        "/proc/uptime": "86400.21 500000.00\n",
        "/proc/meminfo": "MemTotal:        7749168 kB\nMemAvailable:    3219000 kB\n",
        f"{CPU}/online": "0-8\n",
    }
    scripts = {"dumpsys": dumpsys, "settings": settings}
    with FakePhone(files=files, scripts=scripts) as phone, open_target(phone.target) as target:
        status = read_device_status(target)

    assert (status.battery.level_percent, status.battery.status) == (68, "discharging")
    assert (status.thermal.status, len(status.thermal.temperatures)) == (0, 22)
    assert status.power == PowerReading(
        wakefulness="awake", screen="on", power_save=False, airplane_mode=True
    )
    assert status.uptime_s == 86400.21
    assert status.memory_available_bytes == 3219000 * 1024
    assert status.online_cores == tuple(range(9))
    assert status.workspace_free_bytes is not None and status.workspace_free_bytes > 0
    assert status.frequency_limits == ()
    assert DeviceStatus.model_validate_json(status.model_dump_json()) == status


def test_this_machine_and_a_phone_tell_how_they_fare(target: Target) -> None:
    status = read_device_status(target)

    assert status.uptime_s is not None and status.uptime_s > 0
    assert status.memory_available_bytes is not None and status.memory_available_bytes > 2**20
    assert status.workspace_free_bytes is not None and status.workspace_free_bytes > 0


def test_a_phone_before_android_10_tells_its_zones() -> None:
    files = {
        "/sys/class/thermal/thermal_zone0/type": "tsens_tz_sensor0",
        "/sys/class/thermal/thermal_zone0/temp": "44",
        "/sys/class/power_supply/battery/uevent": (
            "POWER_SUPPLY_NAME=battery\nPOWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_CAPACITY=81\n"
        ),
    }
    status = status_of(files, {"dumpsys": answering()})

    assert status.thermal.source == "/sys/class/thermal"
    assert [sensor.celsius for sensor in status.thermal.temperatures] == [44.0]
    assert status.battery.level_percent == 81
    assert status.thermal.status is None


def test_zones_of_now_are_preferred_to_the_cache_of_the_service() -> None:
    cached = (
        "Thermal Status: 1\nCached temperatures:\n"
        "\tTemperature{mValue=66.0, mType=0, mName=CPU, mStatus=0}"
    )
    zone = "/sys/class/thermal/thermal_zone7"
    files = {f"{zone}/type": "cpu-0-0", f"{zone}/temp": "39500"}
    scripts = {"dumpsys": answering(thermalservice=cached)}

    status = status_of(files, scripts)
    assert (status.thermal.status, status.thermal.temperatures[0].celsius) == (1, 39.5)
    status = status_of({"/proc/uptime": "1.0 1.0"}, scripts)
    assert (status.thermal.status, status.thermal.temperatures[0].celsius) == (1, 66.0)


def test_cores_that_are_held_back() -> None:
    files = {
        f"{CPU}/cpu0/cpufreq/scaling_max_freq": "1800000",
        f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "1800000",
        f"{CPU}/cpu4/cpufreq/scaling_max_freq": "793000",
        f"{CPU}/cpu4/cpufreq/cpuinfo_max_freq": "1989000",
        f"{CPU}/cpu5/cpufreq/scaling_max_freq": "793000",
    }

    assert status_of(files, {}).frequency_limits == (
        FrequencyLimit(core=4, limit_khz=793000, hardware_khz=1989000),
    )


def test_what_a_device_does_not_tell_of_itself_is_unknown() -> None:
    assert parse_device_status("") == DeviceStatus()
    assert parse_power("dumpsys: can't find service: power", low_power="null") == PowerReading()


def test_a_missing_file_is_no_value(shared_data: Path) -> None:
    error = (shared_data / "phones" / "dumpsys" / "missing-current-now.txt").read_text()

    assert parse_device_status(f"@@fwdllm battery\n{error}\n@@fwdllm files\n{error}") == (
        DeviceStatus()
    )


@given(
    st.lists(
        st.one_of(
            st.text(max_size=60),
            st.builds(
                "@@fwdllm {}".format,
                st.sampled_from(["files", "meminfo", "space", "battery", "thermal", "power"]),
            ),
            st.builds(
                "{}={}".format,
                st.sampled_from(
                    [
                        "/proc/uptime",
                        f"{CPU}/online",
                        f"{CPU}/cpu0/cpufreq/scaling_max_freq",
                        f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq",
                    ]
                ),
                st.one_of(st.integers(), st.floats(), st.text(max_size=8)),
            ),
            st.from_regex(
                r"/dev/x [0-9]{1,20} [0-9]{1,20} [0-9]{1,20} [0-9]{1,3}% /", fullmatch=True
            ),
            st.builds("Display Power: state={}".format, st.text(max_size=5)),
        ),
        max_size=12,
    )
)
def test_no_output_breaks_the_status_parser(lines: list[str]) -> None:
    status = parse_device_status("\n".join(lines))

    assert DeviceStatus.model_validate_json(status.model_dump_json()) == status
