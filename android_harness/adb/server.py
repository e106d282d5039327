"""A client of the adb server (adb's SERVICES.TXT): requests, and streams to devices' services.

A request is four hexadecimal digits of length and a text. The answer is OKAY, and what the
service has to say, or FAIL with a reason.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from android_harness.adb.link import AdbTimeouts, Deadline, link_errors
from android_harness.adb.server_address import ServerAddress, server_address
from android_harness.adb.server_replies import ListedDevice, parse_devices, server_error
from android_harness.adb.server_stream import ServerStream
from android_harness.adb.socket_meter import SocketMeter
from android_harness.errors import (
    DeviceGoneError,
    DeviceProtocolError,
    DeviceTimeoutError,
    NotAndroidError,
)

_LONGEST_REQUEST_BYTES = 0xFFFF  # four hexadecimal digits
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class AdbServer:
    """A running adb server. Each request has a socket of its own; safe to use from threads.

    Attributes:
        name: what messages call it.
    """

    def __init__(self, address: ServerAddress, *, timeouts: AdbTimeouts) -> None:
        self.name = f"adb server {address}"
        self.timeouts = timeouts
        self._address = address

    def version(self) -> int:
        """The server's protocol version; 41 for adb 1.0.41.

        Raises:
            DeviceProtocolError: what answers is no adb server.
            DeviceGoneError, DeviceTimeoutError: nothing answers.
        """
        try:
            said = self._ask("host:version", device=self.name, phase="asking its version")
        except DeviceTimeoutError as error:
            raise DeviceTimeoutError(
                "it takes connections and does not answer",
                device=self.name,
                phase="asking its version",
                remedy="end it with `adb kill-server` and start it anew with `adb start-server`",
            ) from error
        try:
            return int(said, 16)
        except ValueError as error:
            raise self._malformed(said) from error

    def devices(self) -> list[ListedDevice]:
        """The devices that the server knows."""
        return parse_devices(self._ask("host:devices-l", device=self.name, phase="listing"))

    def track(self) -> Iterator[list[ListedDevice]]:
        """The devices now, and again at each change, for ever.

        Raises:
            DeviceGoneError: the server ended.
        """
        phase = "tracking devices"
        try:
            stream = self._accepted("host:track-devices-l", device=self.name, phase=phase)
        except DeviceGoneError:  # servers before platform-tools 29 do not know it
            stream = self._accepted("host:track-devices", device=self.name, phase=phase)
        try:
            while True:
                with link_errors(self.name, phase):
                    text = self._text(stream, by=Deadline(None))
                yield parse_devices(text)
        finally:
            stream.close()

    def features(self, serial: str, *, device: str) -> frozenset[str]:
        """What the daemon of a device says it can do.

        Raises:
            UnauthorizedError, DeviceOfflineError, DeviceForbiddenError, AmbiguousDeviceError,
            DeviceGoneError: as the server says of a device that does not work.
            NotAndroidError: its bootloader or a recovery runs.
        """
        state = self._ask(f"host-serial:{serial}:get-state", device=device, phase="connecting")
        if state != "device":
            raise NotAndroidError(f"it runs {state}", device=device, phase="connecting")
        said = self._ask(f"host-serial:{serial}:features", device=device, phase="connecting")
        return frozenset(said.split(","))

    def open_service(
        self, serial: str, service: str, *, device: str, meter: SocketMeter
    ) -> ServerStream:
        """A stream to a service of a device.

        Raises:
            ServiceRefusedError: the device's daemon does not offer it.
            DeviceError: the server does not reach the device; the subclass says why.
        """
        stream = self._accepted(
            f"host:transport:{serial}", device=device, phase="connecting", meter=meter
        )
        try:
            self._request(stream, service, device=device, phase="opening")
        except BaseException:
            stream.close()
            raise
        return stream

    def _ask(self, service: str, *, device: str, phase: str) -> str:
        """The text that a service of the server itself answers with."""
        stream = self._accepted(service, device=device, phase=phase)
        try:
            with link_errors(device, phase):
                return self._text(stream)
        finally:
            stream.close()

    def _accepted(
        self, service: str, *, device: str, phase: str, meter: SocketMeter | None = None
    ) -> ServerStream:
        """A new socket on which the server has accepted a request."""
        stream = self._connected(meter or SocketMeter())
        try:
            self._request(stream, service, device=device, phase=phase)
        except BaseException:
            stream.close()
            raise
        return stream

    def _connected(self, meter: SocketMeter) -> ServerStream:
        address = self._address
        try:
            if address.path is None:
                connected = socket.create_connection(
                    (address.host, address.port), self.timeouts.connect_s
                )
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                connected = socket.socket(socket.AF_UNIX)
                connected.settimeout(self.timeouts.connect_s)
                connected.connect(address.path)
        except OSError as error:
            raise DeviceGoneError(
                f"no adb server answers: {error}",
                device=self.name,
                phase="connecting",
                remedy="start it with `adb start-server`",
            ) from error
        return ServerStream(connected, reply_s=self.timeouts.reply_s, meter=meter)

    def _request(self, stream: ServerStream, service: str, *, device: str, phase: str) -> None:
        request = service.encode(errors="surrogateescape")
        if len(request) > _LONGEST_REQUEST_BYTES:
            raise DeviceProtocolError(
                f"a request of {len(request)} bytes; the adb server takes at most "
                f"{_LONGEST_REQUEST_BYTES}",
                device=device,
                phase=phase,
                remedy="put what is that long into a file on the device",
            )
        with link_errors(device, phase):
            stream.write(b"%04x" % len(request) + request)
            status = stream.read(4)
            if status == b"FAIL":
                raise server_error(self._text(stream), device=device, phase=phase)
        if status != b"OKAY":
            raise self._malformed(status)

    def _text(self, stream: ServerStream, *, by: Deadline | None = None) -> str:
        digits = stream.read(4, by=by)
        if not _HEX_DIGITS.issuperset(digits):
            raise self._malformed(digits)
        return stream.read(int(digits, 16)).decode(errors="replace")

    def _malformed(self, said: bytes | str) -> DeviceProtocolError:
        return DeviceProtocolError(
            f"unexpected answer {said!r}",
            device=self.name,
            remedy="see what listens there, or name another address in ADB_SERVER_SOCKET",
        )


def find_server(*, timeouts: AdbTimeouts) -> AdbServer | None:
    """The adb server where one listens; None where none does.

    Raises:
        DeviceProtocolError, DeviceTimeoutError: something else listens there, or it hangs.
        ServerAddressError: the environment's address is none.
    """
    server = AdbServer(server_address(), timeouts=timeouts)
    try:
        server.version()
    except DeviceGoneError:
        return None
    return server
