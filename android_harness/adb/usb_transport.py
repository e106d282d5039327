"""adb-shell's USB transport, ending full packets as the device expects."""

from __future__ import annotations

import usb1
from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError
from adb_shell.transport.usb_transport import UsbTransport


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
