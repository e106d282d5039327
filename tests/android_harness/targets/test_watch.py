"""Devices that come and go, told by the adb server or seen on USB."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from android_harness.fake_phone import FakePhone
from android_harness.targets import watch
from android_harness.targets.discover import FoundDevice
from android_harness.targets.watch import watch_devices
from tests.android_harness.adb.fake_adb_server import FakeAdbServer

pytestmark = pytest.mark.usefixtures("private_home")


class Watched:
    """What a watch has told, from a thread of its own."""

    def __init__(self) -> None:
        self._told: queue.Queue[tuple[str, str]] = queue.Queue()
        threading.Thread(target=self._watch, daemon=True).start()

    def next(self) -> tuple[str, str]:
        """The next event: which device, and its state."""
        return self._told.get(timeout=20)

    def _watch(self) -> None:
        for device in watch_devices(poll_s=0.05):
            self._told.put((device.spec, device.state))


@pytest.fixture(params=[("track-devices", "track-devices-l"), ("track-devices",)])
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeAdbServer]:
    """Servers old and new."""
    with FakeAdbServer(tracker=request.param) as server:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{server.port}")
        yield server


def test_plug_and_unplug_are_told(server: FakeAdbServer, phone: FakePhone) -> None:
    server.plug_in("ONE", phone)
    watched = Watched()
    assert watched.next() == ("adb:ONE", "device")

    server.plug_in("TWO", phone, "unauthorized")
    assert watched.next() == ("adb:TWO", "unauthorized")
    server.plug_in("TWO", phone)
    assert watched.next() == ("adb:TWO", "device")
    server.unplug("ONE")
    assert watched.next() == ("adb:ONE", "absent")


def test_a_server_that_restarts_is_followed(
    phone: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeAdbServer() as server:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{server.port}")
        server.plug_in("ONE", phone)
        watched = Watched()
        assert watched.next() == ("adb:ONE", "device")
    assert watched.next() == ("adb:ONE", "absent")
    with FakeAdbServer(port=server.port) as server:
        server.plug_in("TWO", phone)
        assert watched.next() == ("adb:TWO", "device")


def test_usb_is_looked_at_where_no_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (FoundDevice(f"adb:{name}", "device", None, "USB") for name in ("ONE", "TWO"))
    seen = iter([[one], [one], [one, two]])
    monkeypatch.setattr(watch, "usb_devices", lambda *, claim: next(seen, [two]))
    watched = Watched()

    assert [watched.next() for _ in range(3)] == [
        ("adb:ONE", "device"),
        ("adb:TWO", "device"),
        ("adb:ONE", "absent"),
    ]
