"""A phone that is none: the device's side of ADB on loopback, for demos and tests.

Written from adb's own protocol documents (protocol.txt, SYNC.TXT, shell_protocol.h); the `adb`
program and adb-shell both take it for a device.
"""

from android_harness.fake_phone.faults import Faults
from android_harness.fake_phone.phone import FakePhone

__all__ = ["FakePhone", "Faults"]
