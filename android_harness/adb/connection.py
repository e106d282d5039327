"""One ADB connection to a device's daemon, over any adb-shell transport.

Subclasses adb-shell 0.4.4 and replaces what fails there: the handshake tells an unauthorised
host from a silent device, protocol version 0x01000001 drops the checksums, every wait has a
deadline, a refused OPEN is an error of its own, and a device may speak while it is written to.
The message layout is adb's `protocol.txt`: six little-endian words (command, arg0, arg1, length,
checksum, magic) and the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adb_shell import constants
from adb_shell.adb_device import AdbDevice, _AdbIOManager
from adb_shell.adb_message import AdbMessage, checksum

from android_harness.adb.keys import KeySigner
from android_harness.adb.link import AdbTimeouts, Deadline, link_errors
from android_harness.errors import (
    DeviceProtocolError,
    ServiceRefusedError,
    UnauthorizedError,
    UnsupportedDeviceError,
)

VERSION_WITHOUT_CHECKSUMS = 0x01000001
MAX_PAYLOAD_BYTES = 1 << 20
_START_TLS = b"STLS"
_FEATURES = b"shell_v2,cmd,stat_v2"


@dataclass(frozen=True)
class Packet:
    """A received message."""

    command: bytes
    arg0: int
    arg1: int
    data: bytes


class _Wire(_AdbIOManager):
    """Packets over a transport; checksums until both sides agreed to leave them out."""

    def __init__(self, transport: Any) -> None:
        super().__init__(transport)
        self._checksums = True

    def connect_transport(self, timeout_s: float) -> None:
        self._checksums = True
        self._transport.close()
        self._transport.connect(timeout_s)

    def is_alive(self) -> bool:
        return bool(self._transport.is_alive())

    def interrupt(self) -> None:
        self._transport.interrupt()

    def send_packet(self, command: bytes, arg0: int, arg1: int, data: bytes, by: Deadline) -> None:
        self.send(AdbMessage(command, arg0, arg1, data), by)

    def read_packet(self, by: Deadline) -> Packet:
        with self._transport_lock:
            return Packet(*self._read_packet_from_device(by))

    def _send(self, message: AdbMessage, by: Deadline) -> None:
        header = struct.pack(
            constants.MESSAGE_FORMAT,
            message.command,
            message.arg0,
            message.arg1,
            len(message.data),
            checksum(message.data) if self._checksums else 0,
            message.magic,
        )
        self._transport.bulk_write(header, by.transport_timeout_s)
        if message.data:
            self._transport.bulk_write(message.data, by.transport_timeout_s)

    def _read_packet_from_device(self, by: Deadline) -> tuple[bytes, int, int, bytes]:
        header = self._read_bytes_from_device(constants.MESSAGE_SIZE, by)
        word, arg0, arg1, length, expected, magic = struct.unpack(constants.MESSAGE_FORMAT, header)
        command = word.to_bytes(4, "little")
        if magic != word ^ 0xFFFFFFFF or length > MAX_PAYLOAD_BYTES:
            raise _MalformedPacketError(f"not an ADB message: {header.hex()}")
        data = self._read_bytes_from_device(length, by) if length else b""
        if command == constants.CNXN and arg0 >= VERSION_WITHOUT_CHECKSUMS:
            self._checksums = False
        if self._checksums and checksum(data) != expected:
            raise _MalformedPacketError(f"wrong checksum in a {command!r} message")
        return command, arg0, arg1, data

    def _read_bytes_from_device(self, length: int, by: Deadline) -> bytes:
        data = bytearray()
        while len(data) < length:
            data += self._transport.bulk_read(length - len(data), by.transport_timeout_s)
        return bytes(data)


class _MalformedPacketError(Exception):
    """The bytes on the wire are not ADB."""


class AdbConnection(AdbDevice):
    """An authenticated connection that carries one stream after another.

    Args:
        transport: an adb-shell transport whose time-outs are `TimeoutError`s and whose other
            failures are `OSError`s.
        device: the target's name, for messages.

    After any error the state of the link is unknown: close it and open another.
    """

    def __init__(self, transport: Any, *, device: str, timeouts: AdbTimeouts) -> None:
        super().__init__(transport)
        self._io_manager = _Wire(transport)
        self._wire: _Wire = self._io_manager
        self.device = device
        self.timeouts = timeouts
        self.features: frozenset[str] = frozenset()

    def connect(self, keys: list[KeySigner]) -> None:
        """Connects and authenticates: every key's signature, then the first public key.

        Raises:
            UnauthorizedError: no key is known and nobody accepted the new one in time.
            DeviceGoneError, DeviceTimeoutError, DeviceProtocolError: it cannot be reached.
        """
        by = Deadline(self.timeouts.reply_s)
        with self.errors("connecting"):
            self._wire.connect_transport(self.timeouts.connect_s)
            banner = b"host::features=" + _FEATURES
            self._wire.send_packet(
                constants.CNXN, VERSION_WITHOUT_CHECKSUMS, MAX_PAYLOAD_BYTES, banner, by
            )
            packet = self._handshake_packet(by)
        with self.errors("authorising"):
            for key in keys:
                if packet.command == constants.CNXN:
                    break
                signature = key.Sign(packet.data)
                self._wire.send_packet(constants.AUTH, constants.AUTH_SIGNATURE, 0, signature, by)
                packet = self._handshake_packet(by)
            if packet.command != constants.CNXN:
                packet = self._await_user(keys[0])
        self._maxdata = min(packet.arg1, MAX_PAYLOAD_BYTES)
        self.features = _features_of(packet.data)
        self._available = True

    @property
    def max_payload_bytes(self) -> int:
        return int(self._maxdata)

    def is_alive(self) -> bool:
        return self._wire.is_alive()

    def open_stream(self, service: str) -> AdbStream:
        """Opens a service, e.g. `sync:`.

        Raises:
            ServiceRefusedError: the daemon closed the stream instead of accepting it.
            DeviceGoneError, DeviceTimeoutError: the link broke.
        """
        with self.errors(f"opening {service[:40]}"):
            by = Deadline(self.timeouts.reply_s)
            self._local_id += 1
            local_id = self._local_id
            self._wire.send_packet(constants.OPEN, local_id, 0, service.encode() + b"\0", by)
            while True:
                packet = self._wire.read_packet(by)
                if packet.arg1 != local_id:
                    continue  # a late message of the stream before
                if packet.command == constants.OKAY:
                    return AdbStream(self, local_id, packet.arg0)
                if packet.command == constants.CLSE:
                    raise ServiceRefusedError(
                        f"the device refused the service {service[:60]!r}",
                        device=self.device,
                        phase="opening",
                    )

    def close(self) -> None:
        self._available = False
        self._wire.close()

    def interrupt(self) -> None:
        """Breaks the link under what another thread does on it, where the transport can."""
        self._wire.interrupt()

    @contextmanager
    def errors(self, phase: str, *, command: str = "") -> Iterator[None]:
        """Turns what transports raise into typed errors that name the device and the phase."""
        try:
            with link_errors(self.device, phase, command=command):
                yield
        except _MalformedPacketError as error:
            raise DeviceProtocolError(
                str(error), device=self.device, phase=phase, command=command
            ) from error

    def _handshake_packet(self, by: Deadline) -> Packet:
        packet = self._wire.read_packet(by)
        if packet.command == _START_TLS:
            raise UnsupportedDeviceError(
                "the device wants wireless debugging's TLS, which only the adb server speaks",
                device=self.device,
                phase="connecting",
                remedy="pair it with `adb pair HOST:PORT`, `adb connect` it, and use "
                "--target adb:HOST:PORT; or connect it by USB once, run `adb tcpip 5555`, and use "
                "adb-tcp:HOST:5555",
            )
        asks_signature = packet.command == constants.AUTH and packet.arg0 == constants.AUTH_TOKEN
        if packet.command != constants.CNXN and not asks_signature:
            raise DeviceProtocolError(
                f"unexpected {packet.command!r} in the handshake",
                device=self.device,
                phase="connecting",
            )
        return packet

    def _await_user(self, key: KeySigner) -> Packet:
        by = Deadline(self.timeouts.authorize_s)
        public = key.public_key.strip() + b"\0"
        self._wire.send_packet(constants.AUTH, constants.AUTH_RSAPUBLICKEY, 0, public, by)
        try:
            while True:
                packet = self._handshake_packet(by)
                if packet.command == constants.CNXN:
                    return packet
        except TimeoutError as error:
            raise UnauthorizedError(
                f"nobody accepted this machine's key within {self.timeouts.authorize_s:g} s",
                device=self.device,
                phase="authorising",
            ) from error


class AdbStream:
    """A byte stream to one service of the device.

    Writes are acknowledged packet by packet; what the device says meanwhile is kept and can be
    looked at with `received`.
    """

    def __init__(self, connection: AdbConnection, local_id: int, remote_id: int) -> None:
        self._connection = connection
        self._wire = connection._wire
        self._local_id = local_id
        self._remote_id = remote_id
        self._unread = bytearray()
        self._closed_by_device = False

    @property
    def max_payload_bytes(self) -> int:
        return self._connection.max_payload_bytes

    @property
    def received(self) -> bytes:
        """What the device sent and nobody read yet."""
        return bytes(self._unread)

    def write(self, data: bytes, *, until: Callable[[bytes], bool] | None = None) -> None:
        """Sends at most `max_payload_bytes` and waits until the device took them.

        Args:
            until: wait no longer once this is true of what the device has said meanwhile.

        Raises:
            OSError: the link broke, the device closed the stream, or (`TimeoutError`) it took
                nothing in time; `received` then holds all that had arrived.
        """
        by = Deadline(self._connection.timeouts.reply_s)
        try:
            self._send(constants.WRTE, data, by)
            while self._receive(by) != constants.OKAY:
                if until is not None and until(self.received):
                    return
                if self._closed_by_device:
                    raise ConnectionAbortedError("the device closed the stream")
        except OSError:
            self._keep_what_arrived()
            raise

    def read(self, size: int, *, by: Deadline | None = None) -> bytes:
        """Exactly `size` bytes; each packet in time when no deadline is given.

        Raises:
            EOFError: the device closed the stream before.
            OSError: the link broke or (`TimeoutError`) the device stayed silent.
        """
        while len(self._unread) < size:
            if self._closed_by_device:
                raise EOFError("the device closed the stream early")
            self._receive(by or Deadline(self._connection.timeouts.reply_s))
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def close(self) -> None:
        """Ends the stream in order, so that the connection can carry another."""
        by = Deadline(self._connection.timeouts.reply_s)
        self._send(constants.CLSE, b"", by)
        while not self._closed_by_device:
            self._receive(by)

    def _send(self, command: bytes, data: bytes, by: Deadline) -> None:
        self._wire.send_packet(command, self._local_id, self._remote_id, data, by)

    def _receive(self, by: Deadline) -> bytes:
        """Takes one packet of this stream; acknowledges and keeps its data."""
        while True:
            packet = self._wire.read_packet(by)
            # CLSE may carry 0 as the sender's id.
            if packet.arg1 == self._local_id and packet.arg0 in (self._remote_id, 0):
                break
        if packet.command == constants.WRTE:
            self._unread += packet.data
            self._send(constants.OKAY, b"", by)
        elif packet.command == constants.CLSE:
            self._closed_by_device = True
        return packet.command

    def _keep_what_arrived(self) -> None:
        try:
            while not self._closed_by_device:
                self._receive(Deadline(0.0))
        except OSError:
            pass  # nothing more came


def _features_of(banner: bytes) -> frozenset[str]:
    """The features of `device::key=value;...;features=a,b`."""
    _, _, properties = banner.decode(errors="replace").rstrip("\0").rpartition("::")
    for item in properties.split(";"):
        name, _, value = item.partition("=")
        if name == "features":
            return frozenset(value.split(","))
    return frozenset()
