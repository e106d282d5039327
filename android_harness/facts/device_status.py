"""How a device fares now: battery, heat, power, memory; read in one round trip."""

from __future__ import annotations

import re
from collections.abc import Mapping

from android_harness.facts import script
from android_harness.facts.battery import BatteryReading, parse_battery, parse_power_supplies
from android_harness.facts.free_space import parse_free_bytes
from android_harness.facts.kernel_lists import parse_kernel_list
from android_harness.facts.meminfo import memory_bytes
from android_harness.facts.power import PowerReading, parse_power
from android_harness.facts.thermal import (
    ThermalReading,
    parse_hardware_properties,
    parse_thermal_zones,
    parse_thermalservice,
)
from android_harness.target import Target
from exporters.contract import Part

_CPU = "/sys/devices/system/cpu"
_SCALING_LIMIT = re.compile(rf"{_CPU}/cpu([0-9]{{1,4}})/cpufreq/scaling_max_freq")


class FrequencyLimit(Part):
    """A core that may not go as fast as it can."""

    core: int
    limit_khz: int
    hardware_khz: int


class DeviceStatus(Part):
    """How a device fares at one moment; None (or empty) where it does not tell."""

    battery: BatteryReading = BatteryReading()
    thermal: ThermalReading = ThermalReading()
    power: PowerReading = PowerReading()
    uptime_s: float | None = None  # /proc/uptime
    memory_available_bytes: int | None = None  # /proc/meminfo
    workspace_free_bytes: int | None = None  # df
    online_cores: tuple[int, ...] = ()
    frequency_limits: tuple[FrequencyLimit, ...] = ()  # only of cores that are held back


def read_device_status(target: Target) -> DeviceStatus:
    """Asks an Android or Linux device how it fares.

    Raises:
        DeviceError: the device cannot be asked.
    """
    command = ["sh", "-c", script.STATUS, "sh", str(target.workspace)]
    said = target.check(command, timeout_s=script.TIMEOUT_S).stdout
    return parse_device_status(said.decode(errors="replace"))


def parse_device_status(output: str) -> DeviceStatus:
    """The status in what the script printed; never fails, whatever that is."""
    sections = script.sections(output)
    files = script.small_files(sections.get("files", ""))
    battery = parse_battery(sections.get("battery", ""))
    if battery.source is None:
        battery = parse_power_supplies(sections.get("supplies", ""))
    return DeviceStatus(
        battery=battery,
        thermal=_thermal(sections, files),
        power=parse_power(
            sections.get("power", ""),
            low_power=sections.get("low-power", ""),
            airplane_mode=sections.get("airplane", ""),
        ),
        uptime_s=_uptime_s(files.get("/proc/uptime", "")),
        memory_available_bytes=memory_bytes(sections.get("meminfo", ""), "MemAvailable"),
        workspace_free_bytes=parse_free_bytes(sections.get("space", "")),
        online_cores=parse_kernel_list(files.get(f"{_CPU}/online", "")),
        frequency_limits=_frequency_limits(files),
    )


def _thermal(sections: Mapping[str, str], files: Mapping[str, str]) -> ThermalReading:
    """The service's word, with the temperatures of whoever has current ones."""
    service = parse_thermalservice(sections.get("thermal", ""))
    if service.is_current:
        return service
    for other in (
        parse_hardware_properties(sections.get("old-thermal", "")),
        parse_thermal_zones(files),
    ):
        if other.temperatures:
            return service.model_copy(
                update={"temperatures": other.temperatures, "source": other.source}
            )
    return service


def _uptime_s(text: str) -> float | None:
    match = re.match(r"([0-9]{1,10}(?:\.[0-9]{1,3})?)\b", text)
    return float(match[1]) if match else None


def _frequency_limits(files: Mapping[str, str]) -> tuple[FrequencyLimit, ...]:
    limits = []
    for path, text in files.items():
        match = _SCALING_LIMIT.fullmatch(path)
        limit = _khz(text)
        hardware = _khz(files.get(path.replace("scaling_max", "cpuinfo_max"), ""))
        if match and limit and hardware and limit < hardware:
            limits.append(
                FrequencyLimit(core=int(match[1]), limit_khz=limit, hardware_khz=hardware)
            )
    return tuple(sorted(limits, key=lambda limit: limit.core))


def _khz(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None
