"""How hot a device is, by the three groups of sensors that tell of throttling to come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from android_harness.facts.device_status import DeviceStatus
from android_harness.facts.thermal import Temperature

HeatGroup = Literal["skin", "battery", "soc"]

_GROUP_OF_KIND: Mapping[str, HeatGroup] = {
    "skin": "skin",
    "battery": "battery",
    "cpu": "soc",
    "gpu": "soc",
    "npu": "soc",
    "tpu": "soc",
    "soc": "soc",
}
# The kernel's zones have names alone: tsens_tz_sensor3, mtktscpu, cpu-1-0-usr, BIG, x86_pkg_temp.
_SOC_NAME = re.compile(r"cpu|gpu|npu|tsens|soc|pkg|^(big|mid|little|g3d|tpu)$", re.IGNORECASE)


def heat_of(status: DeviceStatus) -> dict[HeatGroup, float]:
    """Degrees Celsius of the hottest sensor of each group; groups without one are not there.

    Values that no sensor can have (0, -40, 500) are left out where a status is parsed, and
    temperatures that Android has cached count as none: they may be hours old.
    """
    heat: dict[HeatGroup, float] = {}
    sensors = status.thermal.temperatures if status.thermal.is_current else ()
    for sensor in sensors:
        group = _group(sensor)
        if group is not None:
            heat[group] = max(sensor.celsius, heat.get(group, sensor.celsius))
    if status.battery.celsius is not None:
        heat["battery"] = max(status.battery.celsius, heat.get("battery", status.battery.celsius))
    return heat


def _group(sensor: Temperature) -> HeatGroup | None:
    if sensor.kind is not None:
        return _GROUP_OF_KIND.get(sensor.kind)
    if sensor.name.lower() == "battery":
        return "battery"
    return "soc" if _SOC_NAME.search(sensor.name) else None
