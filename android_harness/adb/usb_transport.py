"""adb-shell's USB transport, ending full packets as the device expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import usb1
from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError
from adb_shell.transport.usb_transport import (
    CLASS,
    PROTOCOL,
    SUBCLASS,
    UsbTransport,
    interface_matcher,
)


class ZeroTerminatedUsbTransport(UsbTransport):
    """A USB connection. Time-outs raise `TimeoutError`, a lost device another `OSError`.

    A transfer that fills its last USB packet is followed by an empty one; without it the device
    waits for more and the link wedges.
    """

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None = None) -> bytes:
        try:
            data: bytes = super().bulk_read(numbytes, _libusb_timeout(transport_timeout_s))
        except UsbReadFailedError as error:
            raise _as_os_error(error) from error
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None = None) -> int:
        timeout_s = _libusb_timeout(transport_timeout_s)
        try:
            sent = 0
            while sent < len(data):
                sent += super().bulk_write(data[sent:], timeout_s)
            if data and len(data) % self._write_packet_bytes() == 0:
                super().bulk_write(b"", timeout_s)
        except UsbWriteFailedError as error:
            raise _as_os_error(error) from error
        return len(data)

    def interrupt(self) -> None:
        """Nothing: a transfer under way cannot be ended safely from another thread."""

    def is_alive(self) -> bool:
        """Whether the interface is still claimed; a vanished device shows at the next transfer."""
        return self._transport is not None

    def _write_packet_bytes(self) -> int:
        return next(
            endpoint.getMaxPacketSize()
            for endpoint in self._setting.iterEndpoints()
            if endpoint.getAddress() == self._write_endpoint
        )


def _libusb_timeout(timeout_s: float | None) -> float:
    # libusb waits for ever on 0, and adb-shell takes None as its own default of 10 s.
    return 0.0 if timeout_s is None else max(timeout_s, 0.001)


def _as_os_error(error: UsbReadFailedError | UsbWriteFailedError) -> OSError:
    if isinstance(error.usb_error, usb1.USBErrorTimeout):
        return TimeoutError(str(error))
    return ConnectionError(str(error))


@dataclass(frozen=True)
class UsbDevice:
    """A device with a debugging interface on USB.

    Attributes:
        serial: empty when this user may not read it.
        state: `device` when nothing is known to be in the way.
        product: what it calls itself on USB; None when unknown.
        reason: why it cannot be used; empty when it can.
    """

    serial: str
    state: Literal["device", "busy", "no permissions", "unknown"]
    product: str | None
    reason: str = ""


def attached_devices(*, claim: bool) -> list[UsbDevice]:
    """The devices on USB now.

    Args:
        claim: claim each for a moment, to see whether another program holds it. A program that
            opens the device in that moment finds it busy.
    """
    with usb1.USBContext() as context:
        matches = interface_matcher(CLASS, SUBCLASS, PROTOCOL)
        pairs = [(each, matches(each)) for each in context.getDeviceIterator(skip_on_error=True)]
        return [_looked_at(each, setting, claim=claim) for each, setting in pairs if setting]


def _looked_at(device: Any, setting: Any, *, claim: bool) -> UsbDevice:
    serial, product = "", None
    transport = ZeroTerminatedUsbTransport(device, setting)
    try:
        serial, product = device.getSerialNumber() or "", device.getProduct()
        if claim:
            transport.connect()
    except usb1.USBErrorBusy:
        return UsbDevice(serial, "busy", product, "held by another program")
    except usb1.USBErrorAccess:
        return UsbDevice(serial, "no permissions", product, "not open to this user")
    except usb1.USBError as error:
        return UsbDevice(serial, "unknown", product, f"not answering on USB: {error}")
    finally:
        transport.close()
    return UsbDevice(serial, "device", product)
