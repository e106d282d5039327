from __future__ import annotations

import socket

import pytest

from android_harness.errors import DeviceGoneError, TargetSyntaxError, UnsupportedDeviceError
from android_harness.fake_phone import FakePhone
from android_harness.targets.open_target import open_target

pytestmark = pytest.mark.usefixtures("private_home")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "phone",
        "local:1",
        "adb",
        "adb-tcp:",
        "adb-tcp:host",
        "adb-tcp:host:",
        "adb-tcp::5555",
        "adb-tcp:host:http",
        "adb-tcp:host:0",
        "adb-tcp:host:65536",
    ],
)
def test_a_bad_spec_is_refused_with_the_right_forms(spec: str) -> None:
    with pytest.raises(TargetSyntaxError, match="adb-tcp:HOST:PORT"):
        open_target(spec)


def test_targets_keep_the_name_they_were_opened_by(phone: FakePhone) -> None:
    with open_target(phone.target) as device, open_target("local") as local:
        assert (device.name, local.name) == (phone.target, "local")


def test_a_port_without_a_daemon_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeviceGoneError, match="refused"):
        open_target(f"adb-tcp:127.0.0.1:{port}")


def test_a_serial_that_is_not_plugged_in_is_gone() -> None:
    # Without libusb the answer is that there is no USB at all.
    with pytest.raises((DeviceGoneError, UnsupportedDeviceError), match="USB"):
        open_target("adb:no-such-serial")
