"""Signs of a GPU or NPU on a device.

A sign is what was seen and where, no more: a library may not load, a device node may be closed to
the shell user, and on some phones SELinux hides nodes that are there. The only proof is a run
whose output is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from typing import Literal

from exporters.contract import Part

Kind = Literal["gpu", "npu"]

# What is looked for among the files, and what it is a sign of.
SIGNS: tuple[tuple[str, Kind, str], ...] = (
    ("/dev/kgsl-3d0", "gpu", "Adreno"),
    ("/dev/mali0", "gpu", "Mali"),
    ("/dev/pvr_sync", "gpu", "PowerVR"),
    ("/dev/nvidia0", "gpu", "NVIDIA"),
    ("/dev/kfd", "gpu", "AMD"),
    ("/dev/dri/renderD*", "gpu", "render node"),
    ("/vendor/lib64/libOpenCL*.so", "gpu", "OpenCL"),
    ("/vendor/lib/libOpenCL*.so", "gpu", "OpenCL"),
    ("/system/vendor/lib*/libOpenCL*.so", "gpu", "OpenCL"),
    ("/vendor/lib64/hw/vulkan.*.so", "gpu", "Vulkan"),
    ("/system/lib*/hw/vulkan.*.so", "gpu", "Vulkan"),
    ("/dev/adsprpc-smd*", "npu", "Qualcomm Hexagon"),
    ("/dev/fastrpc-cdsp*", "npu", "Qualcomm Hexagon"),
    ("/vendor/lib64/libcdsprpc.so", "npu", "Qualcomm Hexagon"),
    ("/vendor/lib64/libQnnHtp*.so", "npu", "Qualcomm QNN"),
    ("/dev/apusys", "npu", "MediaTek APU"),
    ("/vendor/lib64/libneuron*.so", "npu", "MediaTek NeuroPilot"),
    ("/vendor/lib64/libenn*.so", "npu", "Samsung ENN"),
    ("/dev/vertex10", "npu", "Samsung NPU"),
    ("/dev/edgetpu*", "npu", "Google Edge TPU"),
    ("/vendor/lib64/libedgetpu*.so", "npu", "Google Edge TPU"),
    ("/vendor/lib64/libhiai*.so", "npu", "HiSilicon HiAI"),
    ("/dev/accel/accel*", "npu", "accelerator node"),
)
# One-line files that name the GPU.
NAMES = (
    "/sys/class/kgsl/kgsl-3d0/gpu_model",
    "/sys/class/misc/mali0/device/gpuinfo",
    "/sys/kernel/gpu/gpu_model",
)
_GPU_PROPERTIES = {
    "ro.hardware.egl": "OpenGL ES driver",
    "ro.hardware.vulkan": "Vulkan driver",
}
_NEURAL_SERVICE = re.compile(r"^init\.svc\..*(neuralnetworks|nnhal|nnapi)", re.IGNORECASE)
_GLES = re.compile(r"^\s*GLES: *(\S.*?)\s*$", re.MULTILINE)
_VULKAN_NAME = re.compile(r'"deviceName"\s*:\s*"([^"\n]+)"')
_VULKAN_VERSION = re.compile(r'"apiVersion"\s*:\s*([0-9]{1,10})\b')
_VULKAN_FEATURE = re.compile(r"^feature:(android\.hardware\.vulkan\.[^\s]+)\s*$", re.MULTILINE)


class AcceleratorSign(Part):
    """Something that speaks for an accelerator, as it was seen."""

    kind: Kind
    what: str  # what it is a sign of
    seen: str  # a path, a value, or a name that the driver gives
    source: str


def find_accelerators(
    *,
    paths: Iterable[str],
    files: Mapping[str, str],
    properties: Mapping[str, str],
    gles: str,
    vulkan: str,
    features: str,
) -> tuple[AcceleratorSign, ...]:
    """All signs; the names that drivers give come first. Never fails, whatever the texts are.

    Args:
        paths: those of `SIGNS` that are there.
        files: contents of `NAMES`.
        gles: the GLES line of `dumpsys SurfaceFlinger`.
        vulkan: `cmd gpu vkjson`, or its lines with deviceName and apiVersion.
        features: `cmd package list features`.
    """
    signs = [
        AcceleratorSign(kind="gpu", what="name", seen=files[path], source=path)
        for path in NAMES
        if files.get(path)
    ]
    driver = _GLES.search(gles)
    if driver:
        signs.append(_gpu("OpenGL ES driver", driver[1], "dumpsys SurfaceFlinger"))
    signs += [
        _gpu("Vulkan device", name, "cmd gpu vkjson") for name in _VULKAN_NAME.findall(vulkan)
    ]
    version = _VULKAN_VERSION.search(vulkan)
    if version:
        signs.append(_gpu("Vulkan version", _vulkan_version(int(version[1])), "cmd gpu vkjson"))
    signs += [
        _gpu("Vulkan", feature, "cmd package list features")
        for feature in _VULKAN_FEATURE.findall(features)
    ]
    signs += [
        _gpu(what, properties[name], f"getprop {name}")
        for name, what in _GPU_PROPERTIES.items()
        if properties.get(name)
    ]
    signs += [
        AcceleratorSign(kind="npu", what="neural networks service", seen=name, source="getprop")
        for name, state in sorted(properties.items())
        if _NEURAL_SERVICE.search(name) and state == "running"
    ]
    for path in paths:
        match = next(((kind, what) for glob, kind, what in SIGNS if fnmatch(path, glob)), None)
        if match:
            signs.append(AcceleratorSign(kind=match[0], what=match[1], seen=path, source="file"))
    return tuple(signs)


def _gpu(what: str, seen: str, source: str) -> AcceleratorSign:
    return AcceleratorSign(kind="gpu", what=what, seen=seen, source=source)


def _vulkan_version(packed: int) -> str:
    return f"{packed >> 22 & 0x7F}.{packed >> 12 & 0x3FF}.{packed & 0xFFF}"
