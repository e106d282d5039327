"""The facts of a recorded device, read as from a phone but without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from android_harness.facts import script
from android_harness.facts.device_facts import DeviceFacts, parse_device_facts
from android_harness.fake_phone.device_root import DeviceRoot
from android_harness.fake_phone.recording import read_recording


def recorded_facts(path: Path) -> DeviceFacts:
    """What the device of a recording is, by the script that real phones run, in this host's sh.

    Raises:
        ContractError: it is not a recording.
    """
    recording = read_recording(path)
    root = DeviceRoot(properties=recording.props, files=recording.files, scripts=recording.scripts)
    try:
        ended = subprocess.run(
            ["sh", "-c", script.FACTS], env=root.environment(), capture_output=True, check=True
        )
    finally:
        root.remove()
    return parse_device_facts(ended.stdout.decode(errors="replace"))
