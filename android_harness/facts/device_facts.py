"""What a device is: read once, in one round trip; what cannot be read stays unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import Field

from android_harness.facts import script
from android_harness.facts.accelerators_seen import AcceleratorSign, find_accelerators
from android_harness.facts.chips import find_soc, layout_of
from android_harness.facts.cores_to_use import fastest_cores, fastest_cores_mask
from android_harness.facts.cpu import CpuCluster, find_clusters, present_cores
from android_harness.facts.cpuinfo import CpuInfo, parse_cpuinfo
from android_harness.facts.meminfo import memory_bytes
from android_harness.facts.properties import abis, first_known, is_emulator, parse_properties
from android_harness.target import Target
from exporters.contract import Part

Value = TypeVar("Value")

_ABI_OF_MACHINE = {
    "x86_64": "x86_64",
    "aarch64": "arm64-v8a",
    "armv8l": "armeabi-v7a",
    "armv7l": "armeabi-v7a",
    "i686": "x86",
    "i386": "x86",
}


class DeviceFacts(Part):
    """Facts about a device; None (or an empty tuple) where the device does not tell.

    What came later has a default, so that older profiles can be read.
    """

    manufacturer: str | None
    model: str | None
    soc: str | None  # maker and name of the chip
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
    build_type: str | None = None  # user, userdebug or eng
    emulator: bool | None = None
    clusters: tuple[CpuCluster, ...] = ()  # slowest first
    common_features: tuple[str, ...] = ()  # what all listed cores have: safe to compile for
    accelerators: tuple[AcceleratorSign, ...] = ()  # signs of a GPU or NPU, not proof of one
    sources: dict[str, str] = Field(default_factory=dict)  # where each field is from, by its name

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

    @property
    def fastest_cores(self) -> tuple[int, ...]:
        """The cores to start from; see `cores_to_use`. Empty: unknown."""
        return fastest_cores(self.clusters)

    @property
    def fastest_cores_mask(self) -> str | None:
        """The same as a mask for `taskset`."""
        return fastest_cores_mask(self.clusters)


def read_device_facts(target: Target) -> DeviceFacts:
    """Asks an Android or Linux device what it is.

    Raises:
        DeviceError: the device cannot be asked.
    """
    said = target.check(["sh", "-c", script.FACTS], timeout_s=script.TIMEOUT_S).stdout
    return parse_device_facts(said.decode(errors="replace"))


def parse_device_facts(output: str) -> DeviceFacts:
    """The facts in what the script printed; never fails, whatever that is."""
    sections = script.sections(output)
    files = script.small_files(sections.get("files", ""))
    properties = parse_properties(sections.get("getprop", ""))
    cpuinfo = parse_cpuinfo(sections.get("cpuinfo", ""))
    known = _Sourced()
    soc = known.add(
        "soc", find_soc(properties, cpuinfo.fields, files.get("/sys/devices/soc0/machine"))
    )
    sdk, sdk_source = first_known(properties, ("ro.build.version.sdk",))
    all_abis = known.add("abis", _abis(properties, sections.get("machine", "")))
    return DeviceFacts(
        manufacturer=known.add(
            "manufacturer",
            first_known(properties, ("ro.product.manufacturer",)),
            _whole(sections, "vendor", "/sys/class/dmi/id/sys_vendor"),
        ),
        model=known.add(
            "model",
            first_known(properties, ("ro.product.model",)),
            _whole(sections, "product", "/sys/class/dmi/id/product_name"),
            _whole(sections, "devicetree", "/proc/device-tree/model"),
        ),
        soc=soc,
        os="android" if properties else "linux",
        os_release=known.add(
            "os_release",
            first_known(properties, ("ro.build.version.release",)),
            (_pretty_name(sections.get("os-release", "")), "/etc/os-release PRETTY_NAME"),
        ),
        android_sdk=known.add("android_sdk", (_integer(sdk), sdk_source)),
        build_fingerprint=known.add(
            "build_fingerprint", first_known(properties, ("ro.build.fingerprint",))
        ),
        kernel=known.add("kernel", _whole(sections, "kernel", "uname -sr")),
        abi=all_abis[0] if all_abis else None,
        abis=all_abis or (),
        cpu_count=known.add("cpu_count", *_cpu_counts(sections, files, cpuinfo, properties)),
        cpu_model=known.add(
            "cpu_model",
            *(
                (cpuinfo.fields.get(name), f"/proc/cpuinfo {name}")
                for name in ("model name", "Hardware", "Processor")
            ),
        ),
        cpu_features=known.add("cpu_features", _first_features(cpuinfo)) or (),
        memory_total_bytes=known.add(
            "memory_total_bytes",
            (memory_bytes(sections.get("meminfo", ""), "MemTotal"), "/proc/meminfo MemTotal"),
        ),
        page_size_bytes=known.add(
            "page_size_bytes", (_integer(sections.get("pagesize")), "getconf PAGE_SIZE")
        ),
        build_type=known.add("build_type", first_known(properties, ("ro.build.type",))),
        emulator=known.add("emulator", (is_emulator(properties), "getprop")),
        clusters=find_clusters(files, cpuinfo, soc=soc, layout=layout_of(soc)),
        common_features=known.add("common_features", (cpuinfo.features, "/proc/cpuinfo")) or (),
        accelerators=find_accelerators(
            paths=sections.get("signs", "").splitlines(),
            files=files,
            properties=properties,
            gles=sections.get("gles", ""),
            vulkan=sections.get("vulkan", ""),
            features=sections.get("features", ""),
        ),
        sources=known.sources,
    )


class _Sourced:
    """Keeps where each field was found."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}

    def add(self, field: str, *candidates: tuple[Value | None, str | None]) -> Value | None:
        """The first candidate that is known."""
        for value, source in candidates:
            if value not in (None, "", ()) and source:
                self.sources[field] = source
                return value
        return None


def _whole(sections: Mapping[str, str], name: str, source: str) -> tuple[str, str]:
    return sections.get(name, "").strip(), source


def _integer(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _pretty_name(os_release: str) -> str | None:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', os_release, re.MULTILINE)
    return match[1] if match else None


def _abis(properties: Mapping[str, str], machine: str) -> tuple[tuple[str, ...], str]:
    listed = abis(properties)
    if listed:
        return listed, "getprop ro.product.cpu.abilist or .abi"
    known = _ABI_OF_MACHINE.get(machine.strip())
    return ((known,) if known else ()), "uname -m"


def _first_features(cpuinfo: CpuInfo) -> tuple[tuple[str, ...], str]:
    first = min(cpuinfo.features_of, default=None)
    features = cpuinfo.features if first is None else cpuinfo.features_of[first]
    return features, "/proc/cpuinfo"


def _cpu_counts(
    sections: Mapping[str, str],
    files: Mapping[str, str],
    cpuinfo: CpuInfo,
    properties: Mapping[str, str],
) -> list[tuple[int | None, str]]:
    """On phones the cores that are present, since idle ones are off; elsewhere what nproc allows.

    A Linux machine's kernel may count sockets that nothing sits in.
    """
    present = (
        len(present_cores(files, cpuinfo)) or None,
        "/sys/devices/system/cpu/present or possible",
    )
    allowed = (_integer(sections.get("nproc")), "nproc")
    return [present, allowed] if properties else [allowed, present]
