"""The outputs below are written for these tests in the formats of Android's own sources: no
recorded phone has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts import script
from android_harness.facts.accelerators_seen import AcceleratorSign, find_accelerators
from android_harness.facts.device_facts import parse_device_facts
from tests.android_harness.facts.recorded_device import printed_by

SURFACE_FLINGER = """Sync configuration: [using: EGL_ANDROID_native_fence_sync]
GLES: Qualcomm, Adreno (TM) 740, OpenGL ES 3.2 V@0676.42 (GIT@1, 1, 1) (Date:01/01/23)
 EGL_ANDROID_framebuffer_target
"""
VKJSON = """{
  "apiVersion" : 4206592,
  "devices" : [ { "properties" : { "deviceName" : "Adreno (TM) 740", "vendorID" : 20803 } } ]
}
"""
FEATURES = """feature:android.hardware.camera
feature:android.hardware.vulkan.level=1
feature:android.hardware.vulkan.version=4206592
"""


def test_signs_on_a_phone() -> None:
    files = {
        "/sys/class/kgsl/kgsl-3d0/gpu_model": "Adreno740v2\n",
        "/vendor/lib64/libOpenCL.so": "",
        "/vendor/lib64/libQnnHtpV73Stub.so": "",
        "/dev/fastrpc-cdsp": "",
        "/vendor/lib64/libc.so": "",
    }
    scripts = {
        "dumpsys": f"#!/bin/sh\n[ $1 = SurfaceFlinger ] && cat <<'E'\n{SURFACE_FLINGER}E\n",
        "cmd": f"#!/bin/sh\ncase $1 in\ngpu) cat <<'E'\n{VKJSON}E\n;;\n"
        f"package) cat <<'E'\n{FEATURES}E\n;;\nesac\n",
    }
    properties = {"ro.hardware.vulkan": "adreno", "init.svc.neuralnetworks_hal": "running"}

    output = printed_by(script.FACTS, props=properties, files=files, scripts=scripts)
    signs = parse_device_facts(output).accelerators

    assert [(sign.kind, sign.what, sign.seen, sign.source) for sign in signs] == [
        ("gpu", "name", "Adreno740v2", "/sys/class/kgsl/kgsl-3d0/gpu_model"),
        (
            "gpu",
            "OpenGL ES driver",
            "Qualcomm, Adreno (TM) 740, OpenGL ES 3.2 V@0676.42 (GIT@1, 1, 1) (Date:01/01/23)",
            "dumpsys SurfaceFlinger",
        ),
        ("gpu", "Vulkan device", "Adreno (TM) 740", "cmd gpu vkjson"),
        ("gpu", "Vulkan version", "1.3.0", "cmd gpu vkjson"),
        ("gpu", "Vulkan", "android.hardware.vulkan.level=1", "cmd package list features"),
        ("gpu", "Vulkan", "android.hardware.vulkan.version=4206592", "cmd package list features"),
        ("gpu", "Vulkan driver", "adreno", "getprop ro.hardware.vulkan"),
        ("npu", "neural networks service", "init.svc.neuralnetworks_hal", "getprop"),
        ("gpu", "OpenCL", "/vendor/lib64/libOpenCL.so", "file"),
        ("npu", "Qualcomm Hexagon", "/dev/fastrpc-cdsp", "file"),
        ("npu", "Qualcomm QNN", "/vendor/lib64/libQnnHtpV73Stub.so", "file"),
    ]


def test_a_service_that_is_stopped_is_no_sign() -> None:
    assert (
        find_accelerators(
            paths=[],
            files={},
            properties={"init.svc.neuralnetworks_hal": "stopped"},
            gles="",
            vulkan="",
            features="",
        )
        == ()
    )


@given(st.lists(st.text(max_size=40), min_size=6, max_size=6))
def test_no_texts_break_it(texts: list[str]) -> None:
    path, name, gles, vulkan, features, value = texts
    signs = find_accelerators(
        paths=[path, "/dev/mali0"],
        files={"/sys/kernel/gpu/gpu_model": name},
        properties={f"init.svc.{path}": value, "ro.hardware.egl": value},
        gles=f"GLES: {gles}",
        vulkan=f'"deviceName" : "{vulkan}" "apiVersion" : 99{vulkan}',
        features=f"feature:android.hardware.vulkan.{features}",
    )
    for sign in signs:
        assert AcceleratorSign.model_validate_json(sign.model_dump_json()) == sign
