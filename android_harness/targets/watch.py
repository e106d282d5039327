"""Devices as they come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import find_server
from android_harness.errors import DeviceGoneError
from android_harness.targets.discover import FoundDevice, listed_device, usb_devices


def watch_devices(*, poll_s: float = 1.0) -> Iterator[FoundDevice]:
    """Each device that comes, changes its state or goes, for ever; those that are there first.

    The adb server tells by itself; where none answers, USB is looked at every `poll_s` seconds, and
    so is whether a server has started. A device that went has the state `absent`.

    Raises:
        DeviceError: what listens at the adb server's address hangs, or is none.
    """
    known: dict[str, FoundDevice] = {}
    for found in _listings(poll_s):
        now = {device.spec: device for device in found}
        yield from (device for spec, device in now.items() if known.get(spec) != device)
        for spec in known.keys() - now.keys():
            yield replace(known[spec], state="absent", reason="gone")
        known = now


def _listings(poll_s: float) -> Iterator[list[FoundDevice]]:
    while True:
        server = find_server(timeouts=AdbTimeouts())
        if server is None:
            yield usb_devices(claim=False)
        else:
            with suppress(DeviceGoneError):  # the server ended; another may start
                for listed in server.track():
                    yield [listed_device(device, server) for device in listed]
        time.sleep(poll_s)
