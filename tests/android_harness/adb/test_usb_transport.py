"""The USB path as far as it can be followed without a device: over a recorded USB handle."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

try:
    import usb1
    from adb_shell.transport.usb_transport import UsbTransport

    from android_harness.adb.usb_transport import ZeroTerminatedUsbTransport
except (ImportError, OSError) as error:
    pytest.skip(f"no libusb: {error}", allow_module_level=True)

from android_harness.adb.connection import AdbConnection
from android_harness.adb.keys import load_keys
from android_harness.adb.tcp_transport import WholeTcpTransport
from android_harness.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceForbiddenError,
    DeviceTimeoutError,
    NoDevicesError,
)
from android_harness.fake_phone import FakePhone
from android_harness.targets.adb_target import AdbTarget
from android_harness.targets.discover import expand_targets, found_devices
from android_harness.targets.open_target import open_target
from tests.android_harness.waiting import PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

PACKET_BYTES = 512


class Endpoint:
    def __init__(self, address: int) -> None:
        self._address = address

    def getAddress(self) -> int:  # noqa: N802
        return self._address

    def getMaxPacketSize(self) -> int:  # noqa: N802
        return PACKET_BYTES


class Interface:
    """Stands for the device, its one interface, and the opened handle."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.transfers: list[bytes] = []
        self._refusal = refusal

    def iterEndpoints(self) -> Iterator[Endpoint]:  # noqa: N802
        return iter([Endpoint(0x81), Endpoint(0x02)])

    def getNumber(self) -> int:  # noqa: N802
        return 0

    def iterSettings(self) -> Iterator[Interface]:  # noqa: N802
        return iter([self])

    def getClass(self) -> int:  # noqa: N802
        return 0xFF

    def getSubClass(self) -> int:  # noqa: N802
        return 0x42

    def getProtocol(self) -> int:  # noqa: N802
        return 0x01

    def getProduct(self) -> str:  # noqa: N802
        return "Phone"

    def getSerialNumber(self) -> str:  # noqa: N802
        return "SERIAL"

    def open(self) -> Interface:
        return self

    def close(self) -> None: ...

    def kernelDriverActive(self, number: int) -> bool:  # noqa: N802
        return False

    def claimInterface(self, number: int) -> None:  # noqa: N802
        if self._refusal is not None:
            raise self._refusal

    def releaseInterface(self, number: int) -> None: ...  # noqa: N802

    def bulkWrite(self, endpoint: int, data: bytes, timeout: int) -> int:  # noqa: N802
        self.transfers.append(bytes(data))
        return len(data)

    def bulkRead(self, endpoint: int, length: int, timeout: int) -> bytes:  # noqa: N802
        raise usb1.USBErrorTimeout


class Hub:
    """A USB device without a debugging interface."""

    def iterSettings(self) -> Iterator[Interface]:  # noqa: N802
        return iter([])


class Bus:
    """Stands for libusb."""

    def __init__(self, devices: list[Interface | Hub]) -> None:
        self._devices = devices

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None: ...

    def getDeviceIterator(self, skip_on_error: bool) -> Iterator[Interface | Hub]:  # noqa: N802
        return iter(self._devices)


@pytest.mark.parametrize(
    ("size", "transfers"),
    [(24, [24]), (PACKET_BYTES, [PACKET_BYTES, 0]), (3 * PACKET_BYTES, [3 * PACKET_BYTES, 0])],
)
def test_a_full_last_packet_is_followed_by_an_empty_one(size: int, transfers: list[int]) -> None:
    interface = Interface()
    transport = ZeroTerminatedUsbTransport(interface, interface)
    transport.connect(1)

    assert transport.bulk_write(bytes(size), 1) == size

    assert [len(data) for data in interface.transfers] == transfers


def test_stock_adb_shell_leaves_a_full_last_packet_open() -> None:
    interface = Interface()
    transport = UsbTransport(interface, interface)
    transport.connect(1)

    transport.bulk_write(bytes(PACKET_BYTES), 1)

    assert [len(data) for data in interface.transfers] == [PACKET_BYTES]


def test_a_silent_device_is_a_timeout() -> None:
    interface = Interface()
    transport = ZeroTerminatedUsbTransport(interface, interface)
    transport.connect(1)

    with pytest.raises(TimeoutError):
        transport.bulk_read(24, 1)


@pytest.mark.parametrize(
    ("refusal", "kind", "remedy"),
    [
        (usb1.USBErrorBusy(), DeviceBusyError, "adb kill-server"),
        (usb1.USBErrorAccess(), DeviceForbiddenError, "udev"),
    ],
)
def test_a_device_that_cannot_be_claimed_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception, kind: type[DeviceError], remedy: str
) -> None:
    interface = Interface(refusal)
    monkeypatch.setattr(
        ZeroTerminatedUsbTransport,
        "find_adb",
        lambda serial: ZeroTerminatedUsbTransport(interface, interface),
    )
    with pytest.raises(kind, match=remedy):
        open_target("adb:SERIAL")


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        (None, "device"),
        (usb1.USBErrorBusy(), "busy"),
        (usb1.USBErrorAccess(), "no permissions"),
        (usb1.USBErrorIO(), "unknown"),
    ],
)
def test_devices_on_usb_are_found_with_what_is_in_their_way(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception | None, state: str
) -> None:
    monkeypatch.setattr(usb1, "USBContext", lambda: Bus([Interface(refusal), Hub()]))

    (found,) = found_devices()

    assert (found.spec, found.state, found.through) == ("adb:SERIAL", state, "USB")
    assert found.usable == (refusal is None) == (not found.reason) == (not found.remedy)
    if refusal is None:
        assert expand_targets(["all"]) == ["adb:SERIAL"]
    else:
        with pytest.raises(NoDevicesError, match="adb:SERIAL is"):
            expand_targets(["all"])


def test_a_second_command_waits_for_the_only_connection(phone: FakePhone) -> None:
    def connect() -> AdbConnection:
        transport = WholeTcpTransport("127.0.0.1", phone.port)
        connection = AdbConnection(transport, device="adb:SERIAL", timeouts=PATIENT)
        connection.connect(load_keys())
        return connection

    with AdbTarget("adb:SERIAL", connect, single_connection=True) as target:
        flag = target.workspace / "flag"
        script = f"while [ ! -e {flag} ]; do sleep 0.05; done"
        with (
            ThreadPoolExecutor() as pool,
            target.stream(["sh", "-c", f"echo on; {script}"]) as pieces,
        ):
            next(pieces)
            # Of this thread it would wait for itself; of another it waits as long as it may.
            with pytest.raises(DeviceBusyError, match="a stream of this thread"):
                target.run(["true"])
            with pytest.raises(DeviceTimeoutError, match="adb start-server"):
                pool.submit(target.run, ["true"], timeout_s=0.2).result()
            waiting = pool.submit(target.run, ["echo", "after"])
            path = phone.root.resolve(str(flag))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            assert list(pieces) == []
            assert not waiting.done()
        assert waiting.result().stdout == b"after\n"
