"""What a device says of its heat: Android's thermal service, its forerunner, the kernel's zones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from exporters.contract import Part

# android.os.Temperature and android.os.CoolingDevice; types that are not here are vendors' own.
_TEMPERATURE_KINDS = {
    0: "cpu",
    1: "gpu",
    2: "battery",
    3: "skin",
    4: "usb port",
    5: "power amplifier",
    6: "battery voltage",
    7: "battery current",
    8: "battery charge",
    9: "npu",
    10: "tpu",
    11: "display",
    12: "modem",
    13: "soc",
    14: "wifi",
    15: "camera",
    16: "flashlight",
    17: "speaker",
    18: "ambient",
    19: "pogo",
}
_NOT_TEMPERATURES = frozenset(["battery voltage", "battery current", "battery charge"])
_COOLING_KINDS = {
    0: "fan",
    1: "battery",
    2: "cpu",
    3: "gpu",
    4: "modem",
    5: "npu",
    6: "component",
    7: "tpu",
    8: "power amplifier",
    9: "display",
    10: "speaker",
    11: "wifi",
    12: "camera",
    13: "flashlight",
    14: "usb port",
}

# What a phone can be. Thermistors that are not there read -40, -127 or the smallest float.
_COLDEST_C, _HOTTEST_C = -39.9, 200.0

_TEMPERATURE = re.compile(
    r"\bTemperature\{mValue=([^,]+), mType=(-?\d{1,4}), mName=(.*?), mStatus=(-?\d{1,4})\}"
)
_COOLING = re.compile(r"\bCoolingDevice\{mValue=(-?\d{1,18}), mType=(-?\d{1,4}), mName=(.*?)\}")
_STATUS = re.compile(r"^\s*Thermal Status: (\d{1,2})\s*$", re.MULTILINE)
_OVERRIDDEN = re.compile(r"^\s*IsStatusOverride: true\s*$", re.MULTILINE)
_CURRENT, _CACHED = "dumpsys thermalservice, HAL", "dumpsys thermalservice, cached"
_HAL_HEADING = "Current temperatures from HAL:"
_CACHED_HEADING = "Cached temperatures:"
# HardwarePropertiesManagerService, Android 7 to 9.
_OLD_TEMPERATURES = re.compile(r"^(CPU|GPU|Battery|Skin) temperatures: \[(.*)\]", re.MULTILINE)

_ZONE = re.compile(r"/thermal_zone(\d{1,6})/type$")
_WHOLE_DEGREES_TO = 150
# Zones of Qualcomm kernels that hold percents, millivolts and milliamperes.
_OTHER_QUANTITY = re.compile(r"^socd?$|[iv]bat|(^|[-_])bcl([-_]|$)", re.IGNORECASE)


class Temperature(Part):
    """One sensor. A device may list differences of sensors among those of no kind."""

    name: str
    kind: str | None  # cpu, gpu, battery, skin, npu ...; None: the device gives it none
    celsius: float
    status: int | None  # its own throttling severity, 0 (none) to 6 (shutdown)


class CoolingDevice(Part):
    """Something that is slowed to stay cool, and by how many of its steps."""

    name: str
    kind: str | None
    level: int


class ThermalReading(Part):
    """Heat at one moment; sensors without a believable value are left out."""

    status: int | None = None  # the device's throttling severity, 0 (none) to 6 (shutdown)
    status_overridden: bool = False  # someone set the status by hand: it tells nothing
    temperatures: tuple[Temperature, ...] = ()
    cooling: tuple[CoolingDevice, ...] = ()
    source: str | None = None  # where the temperatures are from; `cached` ones may be hours old

    @property
    def is_current(self) -> bool:
        """Whether there are temperatures, and they are those of now."""
        return bool(self.temperatures) and self.source != _CACHED

    def hottest(self, kind: str) -> Temperature | None:
        """The hottest sensor of a kind."""
        of_kind = [sensor for sensor in self.temperatures if sensor.kind == kind]
        return max(of_kind, key=lambda sensor: sensor.celsius, default=None)


def parse_thermalservice(text: str) -> ThermalReading:
    """`dumpsys thermalservice` of Android 10 and later; never fails, whatever the text is.

    Temperatures that the HAL gives now are preferred to the cached ones, which are those of
    the last event.
    """
    status = _STATUS.search(text)
    current, cached = _section(text, _HAL_HEADING), _section(text, _CACHED_HEADING)
    temperatures, source = _temperatures(current), _CURRENT
    if not temperatures:
        temperatures, source = _temperatures(cached), _CACHED
    return ThermalReading(
        status=int(status[1]) if status else None,
        status_overridden=_OVERRIDDEN.search(text) is not None,
        temperatures=temperatures,
        cooling=tuple(
            CoolingDevice(name=name, kind=_COOLING_KINDS.get(int(kind)), level=int(level))
            for level, kind, name in _COOLING.findall(text)
        ),
        source=source if temperatures else None,
    )


def parse_hardware_properties(text: str) -> ThermalReading:
    """`dumpsys hardware_properties` of Android 7 to 9, which knows no status."""
    temperatures = tuple(
        Temperature(name=f"{kind.lower()}{number}", kind=kind.lower(), celsius=celsius, status=None)
        for kind, values in _OLD_TEMPERATURES.findall(text)
        for number, value in enumerate(values.split(","))
        if (celsius := _believable(value)) is not None
    )
    return ThermalReading(
        temperatures=temperatures, source="dumpsys hardware_properties" if temperatures else None
    )


def parse_thermal_zones(files: Mapping[str, str]) -> ThermalReading:
    """The kernel's zones, from the contents of /sys/class/thermal/thermal_zone*/{type,temp}.

    Most kernels tell thousandths of a degree, some older ones whole degrees.
    """
    temperatures = []
    for path in sorted(files, key=_zone_number):
        name = files[path].strip()
        if _ZONE.search(path) is None or not name or _OTHER_QUANTITY.search(name):
            continue
        celsius = _zone_celsius(files.get(path.removesuffix("type") + "temp", ""))
        if celsius is not None:
            temperatures.append(Temperature(name=name, kind=None, celsius=celsius, status=None))
    return ThermalReading(
        temperatures=tuple(temperatures), source="/sys/class/thermal" if temperatures else None
    )


def _section(text: str, heading: str) -> Iterable[str]:
    """The indented lines below a heading; below its last occurrence, if it repeats."""
    lines: list[str] = []
    within = False
    for line in text.splitlines():
        if line.strip() == heading:
            within, lines = True, []
        elif within and line[:1].isspace():
            lines.append(line)
        else:
            within = False
    return lines


def _temperatures(lines: Iterable[str]) -> tuple[Temperature, ...]:
    temperatures = []
    for line in lines:
        match = _TEMPERATURE.search(line)
        if match is None:
            continue
        kind = _TEMPERATURE_KINDS.get(int(match[2]))
        celsius = _believable(match[1])
        if celsius is None or kind in _NOT_TEMPERATURES:
            continue
        temperatures.append(
            Temperature(name=match[3], kind=kind, celsius=celsius, status=int(match[4]))
        )
    return tuple(temperatures)


def _believable(text: str) -> float | None:
    """None for what is no temperature: NaN, out of range, and 0, which absent sensors give."""
    try:
        celsius = float(text)
    except ValueError:
        return None
    return celsius if celsius and _COLDEST_C <= celsius <= _HOTTEST_C else None


def _zone_celsius(text: str) -> float | None:
    text = text.strip()
    if re.fullmatch(r"-?[0-9]{1,9}", text) is None:
        return None
    value = int(text)
    if abs(value) >= 1000:
        return _believable(str(value / 1000))
    return _believable(text) if 0 < value <= _WHOLE_DEGREES_TO else None


def _zone_number(path: str) -> tuple[int, str]:
    match = _ZONE.search(path)
    return (int(match[1]) if match else -1, path)
