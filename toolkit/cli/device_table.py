"""What `fwdllm devices` shows of one device: what it is, how it fares, whether to measure now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from android_harness.facts.cores_to_use import fastest_cores
from android_harness.facts.cpu import CpuCluster
from android_harness.facts.device_facts import DeviceFacts, read_device_facts
from android_harness.facts.device_status import DeviceStatus, read_device_status
from android_harness.facts.fitness import Unfit, fit_to_measure
from android_harness.facts.kernel_lists import as_kernel_list
from android_harness.target import Target

# Of the dozens of flags that a processor lists, those that decide the speed of quantized matmuls.
_TELLING_FEATURES = frozenset(
    [
        "asimddp",
        "asimdhp",
        "i8mm",
        "sve",
        "sve2",
        "bf16",
        "svebf16",
        "svei8mm",
        "sme",
        "sme2",
        "avx2",
        "fma",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx_vnni",
        "amx_int8",
    ]
)
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class DeviceReport:
    """One device: facts, status, and the reasons not to measure on it now."""

    facts: DeviceFacts
    status: DeviceStatus
    unfit: tuple[Unfit, ...]

    def document(self) -> dict[str, Any]:
        """Everything as one JSON object: the facts' fields, and beside them the rest."""
        return {
            **self.facts.model_dump(mode="json"),
            "fastest_cores_mask": self.facts.fastest_cores_mask,
            "status": self.status.model_dump(mode="json"),
            "unfit": [reason.model_dump(mode="json") for reason in self.unfit],
        }


def read_device_report(target: Target) -> DeviceReport:
    """Asks the device, in two round trips.

    Raises:
        DeviceError: the device cannot be asked.
    """
    facts, status = read_device_facts(target), read_device_status(target)
    return DeviceReport(facts, status, fit_to_measure(facts, status))


def overview(report: DeviceReport) -> list[str]:
    """A row of a table of devices: device, clusters, memory, accelerators, battery, fitness."""
    facts, status = report.facts, report.status
    name = " ".join(part for part in (facts.manufacturer, facts.model) if part)
    clusters = (
        f"{len(cluster.cores)} {cluster.micro_architecture or 'cores'}"
        for cluster in reversed(facts.clusters)
    )
    battery = status.battery
    return [
        "\n".join(part for part in (name, facts.soc or facts.cpu_model) if part) or _UNKNOWN,
        "\n".join(clusters) or _UNKNOWN,
        _gib(facts.memory_total_bytes) or _UNKNOWN,
        "\n".join(dict.fromkeys(sign.kind for sign in facts.accelerators)),
        "none"
        if battery.present is False
        else (f"{battery.level_percent:.0f} %" if battery.level_percent is not None else _UNKNOWN),
        "\n".join(reason.code for reason in report.unfit) or "yes",
    ]


def device_table(spec: str, report: DeviceReport) -> RenderableType:
    """The report for people; `--json` has all of it, with where each fact is from."""
    facts, status = report.facts, report.status
    rows = {
        "device": " ".join(name for name in (facts.manufacturer, facts.model) if name),
        "chip": facts.soc or facts.cpu_model or "",
        "system": _system(facts),
        "memory": _memory(facts, status),
        "page size": f"{facts.page_size_bytes} bytes" if facts.page_size_bytes else "",
        "runs": " ".join(facts.abis),
        "features": " ".join(name for name in facts.common_features if name in _TELLING_FEATURES),
        "accelerators": _accelerators(facts) or "no signs seen",
        "free space": _gib(status.workspace_free_bytes),
        "battery": _battery(status),
        "heat": _heat(status),
        "power": _power(status),
    }
    table = Table(title=escape(spec), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, escape(value or _UNKNOWN))
    return Group(table, _clusters(facts), _fitness(report.unfit))


def _clusters(facts: DeviceFacts) -> RenderableType:
    if not facts.clusters:
        return Text("cores: unknown")
    table = Table("cores", "design", "GHz", "capacity", "numbers", "start with")
    fastest = fastest_cores(facts.clusters)
    for cluster in reversed(facts.clusters):
        table.add_row(
            str(len(cluster.cores)),
            escape(_design(cluster)),
            f"{cluster.max_frequency_khz / 1e6:.2f}" if cluster.max_frequency_khz else _UNKNOWN,
            str(cluster.capacity or _UNKNOWN),
            as_kernel_list(cluster.cores),
            "yes" if set(cluster.cores) <= set(fastest) else "",
        )
    advice = (
        f"to start with: --threads {len(fastest)} --cores fastest, which are "
        f"{facts.fastest_cores_mask}"
    )
    return Group(table, Text(advice))


def _design(cluster: CpuCluster) -> str:
    name = cluster.micro_architecture or cluster.identity or _UNKNOWN
    extra = [feature for feature in cluster.extra_features if feature in _TELLING_FEATURES]
    return " ".join([name, *extra])


def _fitness(unfit: tuple[Unfit, ...]) -> RenderableType:
    if not unfit:
        return Text("fit to measure: yes", style="green")
    table = Table("not fit to measure", "why, and what to do")
    for reason in unfit:
        table.add_row(
            f"{reason.code}\nspoils {reason.affects}",
            escape(f"{reason.text}\nremedy: {reason.remedy}"),
        )
    return table


def _system(facts: DeviceFacts) -> str:
    name = f"Android {facts.os_release}" if facts.os == "android" else facts.os_release
    build = f"{facts.build_type} build" if facts.build_type else None
    kind = "emulator" if facts.emulator else None
    return ", ".join(part for part in (name, build, kind, facts.kernel) if part)


def _memory(facts: DeviceFacts, status: DeviceStatus) -> str:
    total, available = _gib(facts.memory_total_bytes), _gib(status.memory_available_bytes)
    return f"{total}, {available} available" if total and available else total


def _accelerators(facts: DeviceFacts) -> str:
    """One line a sign; signs are no proof, and their absence is none either."""
    return "\n".join(
        f"{sign.kind} sign: {sign.what}, {sign.seen} ({sign.source})" for sign in facts.accelerators
    )


def _battery(status: DeviceStatus) -> str:
    battery = status.battery
    if battery.present is False:
        return "none"
    plugged = {True: f"plugged into {' and '.join(battery.plugged_into)}", False: "unplugged"}
    parts = (
        f"{battery.level_percent:.0f} %" if battery.level_percent is not None else None,
        battery.status,
        plugged[battery.plugged] if battery.plugged is not None else None,
        f"{battery.celsius:.1f} °C" if battery.celsius is not None else None,
        f"{battery.millivolts} mV" if battery.millivolts is not None else None,
    )
    return ", ".join(part for part in parts if part)


def _heat(status: DeviceStatus) -> str:
    thermal = status.thermal
    hottest = [
        f"{kind} {sensor.celsius:.1f} °C"
        for kind in ("skin", "cpu", "gpu", "npu")
        if (sensor := thermal.hottest(kind)) is not None
    ]
    if not hottest and thermal.temperatures:
        sensor = max(thermal.temperatures, key=lambda sensor: sensor.celsius)
        hottest = [f"{sensor.name} {sensor.celsius:.1f} °C"]
    parts = [
        f"throttling {thermal.status} of 6" if thermal.status is not None else "",
        *hottest,
        f"{len(thermal.temperatures)} sensors" if thermal.temperatures else "",
    ]
    return ", ".join(part for part in parts if part)


def _power(status: DeviceStatus) -> str:
    power = status.power
    parts = (
        power.wakefulness,
        f"screen {power.screen}" if power.screen else None,
        "battery saver on" if power.power_save else None,
        "airplane mode" if power.airplane_mode else None,
        f"up {status.uptime_s / 3600:.1f} h" if status.uptime_s is not None else None,
    )
    return ", ".join(part for part in parts if part)


def _gib(value: int | None) -> str:
    return f"{value / 2**30:.1f} GiB" if value is not None else ""
