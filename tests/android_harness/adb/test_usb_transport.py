"""The USB path as far as it can be followed without a device: over a recorded USB handle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

try:
    import usb1

    from android_harness.adb.usb_transport import ZeroTerminatedUsbTransport
except (ImportError, OSError) as error:
    pytest.skip(f"no libusb: {error}", allow_module_level=True)

from android_harness.errors import DeviceBusyError, DeviceError, DeviceForbiddenError
from android_harness.targets.open_target import open_target

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
