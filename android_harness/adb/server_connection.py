"""A device as the adb server reaches it: by USB, network or wireless debugging alike."""

from __future__ import annotations

from contextlib import AbstractContextManager

from android_harness.adb.link import AdbTimeouts, link_errors
from android_harness.adb.server import AdbServer
from android_harness.adb.server_stream import ServerStream
from android_harness.adb.socket_meter import SocketMeter


class ServerConnection:
    """A `DeviceConnection` through the adb server; each stream is a socket of its own.

    Args:
        server: the server that knows the device.
        serial: the device, as the server lists it.
        device: the target's name, for messages.
        meter: counts the bytes of the streams to the device.

    Raises:
        UnauthorizedError, DeviceOfflineError, DeviceGoneError, DeviceError: the device cannot be
            used now; see `AdbServer.features`.
    """

    def __init__(self, server: AdbServer, serial: str, *, device: str, meter: SocketMeter) -> None:
        self.device = device
        self.timeouts: AdbTimeouts = server.timeouts
        self.features = server.features(serial, device=device)
        self._server = server
        self._serial = serial
        self._meter = meter
        self._stream: ServerStream | None = None
        self._closed = False

    def is_alive(self) -> bool:
        """Whether it may be used again; a lost device shows at the next stream."""
        return not self._closed

    def open_stream(self, service: str) -> ServerStream:
        """Opens a service; the stream before it must have been closed."""
        self._stream = self._server.open_service(
            self._serial, service, device=self.device, meter=self._meter
        )
        return self._stream

    def errors(self, phase: str, *, command: str = "") -> AbstractContextManager[None]:
        return link_errors(self.device, phase, command=command)

    def interrupt(self) -> None:
        if self._stream is not None:
            self._stream.interrupt()

    def close(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.close()
