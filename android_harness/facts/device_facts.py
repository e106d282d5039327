"""What a device is: read once, in one round trip; what cannot be read stays unknown."""

from __future__ import annotations

import re
from typing import Literal

from android_harness.target import Target
from exporters.contract import Part

_MARK = "@@fwdllm "
_FILES = {
    "cpuinfo": "/proc/cpuinfo",
    "meminfo": "/proc/meminfo",
    "possible": "/sys/devices/system/cpu/possible",
    "os-release": "/etc/os-release",
    "vendor": "/sys/class/dmi/id/sys_vendor",
    "product": "/sys/class/dmi/id/product_name",
    "devicetree": "/proc/device-tree/model",
}
# A device may name the root of its /proc and /sys in $FWDLLM_SYSTEM_ROOT, as the fake phone does
# when it serves a recorded one.
_SCRIPT = (
    "".join(
        f'echo "{_MARK}{name}"; cat "$FWDLLM_SYSTEM_ROOT{path}" 2>/dev/null; echo\n'
        for name, path in _FILES.items()
    )
    + "".join(
        f'echo "{_MARK}{name}"; {command} 2>/dev/null; echo\n'
        for name, command in {
            "getprop": "getprop",
            "machine": "uname -m",
            "kernel": "uname -sr",
            "pagesize": "getconf PAGE_SIZE",
            # GNU's nproc would otherwise tell what OpenMP was limited to.
            "nproc": "(unset OMP_NUM_THREADS OMP_THREAD_LIMIT; nproc)",
        }.items()
    )
    + "exit 0"
)
_ABI_OF_MACHINE = {
    "x86_64": "x86_64",
    "aarch64": "arm64-v8a",
    "armv8l": "armeabi-v7a",
    "armv7l": "armeabi-v7a",
    "i686": "x86",
    "i386": "x86",
}
_PROPERTY = re.compile(r"^\[([^\]]+)\]: \[(.*?)\]$", re.MULTILINE | re.DOTALL)


class DeviceFacts(Part):
    """Facts about a device; None (or an empty tuple) where the device does not tell."""

    manufacturer: str | None
    model: str | None
    soc: str | None
    os: Literal["android", "linux"]
    os_release: str | None  # "14" of Android 14, or the Linux distribution's own name
    android_sdk: int | None
    build_fingerprint: str | None
    kernel: str | None
    abi: str | None  # the preferred one, by Android's names: arm64-v8a, x86_64
    abis: tuple[str, ...]  # all that the device runs, preferred first
    cpu_count: int | None  # cores that a program can use, idle ones that are off included
    cpu_model: str | None
    cpu_features: tuple[str, ...]  # of the first core, as in /proc/cpuinfo
    memory_total_bytes: int | None
    page_size_bytes: int | None

    @property
    def summary(self) -> str:
        """The device in one line for people, as far as it is known."""
        memory = self.memory_total_bytes
        parts = (
            " ".join(name for name in (self.manufacturer, self.model) if name),
            self.soc or self.cpu_model,
            self.os_release,
            self.abi,
            f"{self.cpu_count} cores" if self.cpu_count else None,
            f"{memory / 2**30:.1f} GiB" if memory else None,
        )
        return ", ".join(part for part in parts if part)


def read_device_facts(target: Target) -> DeviceFacts:
    """Asks an Android or Linux device what it is.

    Raises:
        DeviceError: the device cannot be asked.
    """
    output = target.check(["sh", "-c", _SCRIPT]).stdout.decode(errors="replace")
    return parse_device_facts(output)


def parse_device_facts(output: str) -> DeviceFacts:
    """The facts in what the script printed; never fails, whatever that is."""
    sections = _sections(output)
    properties = dict(_PROPERTY.findall(sections.get("getprop", "")))
    cpuinfo = _colon_table(sections.get("cpuinfo", ""))
    abis = _abis(properties, sections.get("machine", ""))
    return DeviceFacts(
        manufacturer=_first(properties.get("ro.product.manufacturer"), sections.get("vendor")),
        model=_first(
            properties.get("ro.product.model"), sections.get("product"), sections.get("devicetree")
        ),
        soc=_soc(properties, cpuinfo),
        os="android" if properties else "linux",
        os_release=_first(
            properties.get("ro.build.version.release"),
            _shell_value(sections.get("os-release", ""), "PRETTY_NAME"),
        ),
        android_sdk=_integer(properties.get("ro.build.version.sdk")),
        build_fingerprint=_first(properties.get("ro.build.fingerprint")),
        kernel=_first(sections.get("kernel")),
        abi=abis[0] if abis else None,
        abis=abis,
        cpu_count=_cpu_count(sections, android=bool(properties)),
        cpu_model=_first(
            cpuinfo.get("model name"), cpuinfo.get("Hardware"), cpuinfo.get("Processor")
        ),
        cpu_features=tuple((cpuinfo.get("Features") or cpuinfo.get("flags") or "").split()),
        memory_total_bytes=_memory_total(_colon_table(sections.get("meminfo", ""))),
        page_size_bytes=_integer(sections.get("pagesize")),
    )


def _sections(output: str) -> dict[str, str]:
    sections = {}
    for part in ("\n" + output.replace("\r\n", "\n")).split("\n" + _MARK)[1:]:
        name, _, content = part.partition("\n")
        sections[name] = content.strip("\n\0 ")
    return sections


def _first(*values: str | None) -> str | None:
    return next((value.strip() for value in values if value and value.strip()), None)


def _integer(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _colon_table(text: str) -> dict[str, str]:
    """`key : value` lines; of repeated keys, as one per core, the first counts."""
    table: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            table.setdefault(key.strip(), value.strip())
    return table


def _shell_value(text: str, name: str) -> str | None:
    match = re.search(rf'^{name}="?([^"\n]*)"?$', text, re.MULTILINE)
    return match[1] if match else None


def _soc(properties: dict[str, str], cpuinfo: dict[str, str]) -> str | None:
    """The chip; Android 12 and later name it outright, older builds in one of several places."""
    model = _first(properties.get("ro.soc.model"))
    if model is not None:
        maker = _first(properties.get("ro.soc.manufacturer"))
        return f"{maker} {model}" if maker else model
    # On Android, /proc/cpuinfo's Hardware line is the chip's own name more often than not.
    return _first(
        properties.get("ro.chipname"),
        properties.get("ro.mediatek.platform"),
        properties.get("ro.board.platform"),
        cpuinfo.get("Hardware"),
    )


def _abis(properties: dict[str, str], machine: str) -> tuple[str, ...]:
    listed = properties.get("ro.product.cpu.abilist") or ",".join(
        properties.get(name, "") for name in ("ro.product.cpu.abi", "ro.product.cpu.abi2")
    )
    abis = tuple(abi.strip() for abi in listed.split(",") if abi.strip())
    if abis:
        return abis
    known = _ABI_OF_MACHINE.get(machine.strip())
    return (known,) if known else ()


def _cpu_count(sections: dict[str, str], *, android: bool) -> int | None:
    """On phones all possible cores, since idle ones are switched off; elsewhere what nproc allows.

    A Linux machine's `possible` counts sockets that nothing sits in.
    """
    possible = _list_length(sections.get("possible", ""))
    allowed = _integer(sections.get("nproc"))
    return (possible or allowed) if android else (allowed or possible)


def _list_length(text: str) -> int | None:
    """How many numbers a kernel list such as `0-3,7` has."""
    total = 0
    for item in text.strip().split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", item)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        total += max(0, last - first + 1)
    return total or None


def _memory_total(meminfo: dict[str, str]) -> int | None:
    match = re.fullmatch(r"(\d{1,15}) kB", meminfo.get("MemTotal", ""))
    return int(match[1]) * 1024 if match else None
