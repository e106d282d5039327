"""Runs the device-side scripts over a recorded device, without a phone between."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from android_harness.facts import script
from android_harness.facts.device_status import DeviceStatus, parse_device_status
from android_harness.fake_phone.device_root import DeviceRoot


def printed_by(
    text: str,
    *,
    props: Mapping[str, str],
    files: Mapping[str, str],
    scripts: Mapping[str, str] | None = None,
    shell: Sequence[str] = ("sh",),
    path: str | None = None,
) -> str:
    """What a script prints on a device with these properties and files, in the given shell.

    Args:
        path: the folder of the device's own programs, instead of this machine's.
    """
    root = DeviceRoot(properties=props, files=files, scripts=scripts or {})
    try:
        environment = root.environment()
        if path is not None:
            environment["PATH"] = f"{root.path / 'bin'}:{path}"
        command = [*shell, "-c", text, "sh", str(root.path / "data/local/tmp/not/yet/there")]
        ended = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert ended.stderr == b""
        return ended.stdout.decode(errors="replace")
    finally:
        root.remove()


def status_of(files: Mapping[str, str], scripts: Mapping[str, str]) -> DeviceStatus:
    output = printed_by(script.STATUS, props={}, files=files, scripts=scripts)
    return parse_device_status(output)
