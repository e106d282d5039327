"""Files over the service `sync:` (adb's SYNC.TXT and file_sync_protocol.h).

A request is a four-letter id, a little-endian length, and a path; contents travel in DATA chunks
of at most 64 KiB that end with DONE.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from android_harness.adb.link import DeviceConnection, DeviceStream
from android_harness.errors import DeviceProtocolError, TransferError
from android_harness.target import RemoteStat
from android_harness.transfer_errors import transfer_error

_CHUNK_BYTES = 64 * 1024
_WORDS = struct.Struct("<4sI")
_LENGTH = struct.Struct("<I")
_STAT_V1 = struct.Struct("<3I")  # mode, size modulo 2**32, mtime
_STAT_V2 = struct.Struct("<IQQIIIIQqqq")  # error, dev, ino, mode, nlink, uid, gid, size, times
_ENOENT = 2


def stat_file(connection: DeviceConnection, path: PurePosixPath) -> RemoteStat | None:
    """What the device says of a path; None when there is nothing.

    Raises:
        TransferError: the device may not look there.
    """
    with _session(connection, path, "looking up") as session:
        stream = session.stream
        if "stat_v2" not in connection.features:
            stream.write(_request(b"STAT", path))
            session.expect(b"STAT", length_follows=False)
            mode, size, mtime = _STAT_V1.unpack(stream.read(_STAT_V1.size))
            return RemoteStat(mode, size) if (mode, size, mtime) != (0, 0, 0) else None
        stream.write(_request(b"STA2", path))
        session.expect(b"STA2", length_follows=False)
        error, _, _, mode, _, _, _, size, *_ = _STAT_V2.unpack(stream.read(_STAT_V2.size))
        if error == _ENOENT:
            return None
        if error:
            raise session.failure(os.strerror(error))
        return RemoteStat(mode, size)


def push_file(
    connection: DeviceConnection,
    local: BinaryIO,
    path: PurePosixPath,
    *,
    mode: int = 0o644,
    mtime: int,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Sends a file and returns its size.

    Raises:
        NoSpaceError, PermissionDeniedError, TransferError: the device said so, even while the
            content was still on its way.
    """
    with _session(connection, path, "pushing") as session:
        stream, sent = session.stream, 0
        try:
            stream.write(_request(b"SEND", path, f",{mode | 0o100000}"))
            for packet, size in _data_packets(local, stream.max_payload_bytes):
                stream.write(packet, until=bool)
                if stream.received:
                    session.expect()
                sent += size
                if progress is not None:
                    progress(sent)
            stream.write(_WORDS.pack(b"DONE", mtime & 0xFFFFFFFF))
        except OSError:
            session.raise_failure_in(stream.received)
            raise
        session.expect(b"OKAY")
        return sent


def pull_file(connection: DeviceConnection, path: PurePosixPath, to: BinaryIO) -> None:
    """Receives a file.

    Raises:
        MissingFileError, PermissionDeniedError, TransferError: the device said so.
    """
    with _session(connection, path, "pulling") as session:
        session.stream.write(_request(b"RECV", path))
        while True:
            kind, length = session.expect(b"DATA", b"DONE")
            if kind == b"DONE":
                return
            content = session.stream.read(length)
            try:
                to.write(content)
            except OSError as error:  # this machine's disk, not the link
                raise session.failure(str(error)) from error


@dataclass(frozen=True)
class _Session:
    """One request about one path, and the errors that name both."""

    stream: DeviceStream
    device: str
    path: PurePosixPath
    phase: str

    def expect(self, *kinds: bytes, length_follows: bool = True) -> tuple[bytes, int]:
        """The id and length of the next reply, which must be among `kinds`."""
        kind = self.stream.read(4)
        if kind == b"FAIL":
            (length,) = _LENGTH.unpack(self.stream.read(_LENGTH.size))
            raise self.failure(self.stream.read(length).decode(errors="replace"))
        if kind not in kinds:
            raise DeviceProtocolError(
                f"unexpected sync reply {kind!r}", device=self.device, phase=self.phase
            )
        if not length_follows:
            return kind, 0
        return kind, _LENGTH.unpack(self.stream.read(_LENGTH.size))[0]

    def raise_failure_in(self, said: bytes) -> None:
        """Raises the FAIL that the device sent before the link broke, if it did."""
        if len(said) >= _WORDS.size and said[:4] == b"FAIL":
            length = _WORDS.unpack_from(said)[1]
            text = said[_WORDS.size : _WORDS.size + length]
            raise self.failure(text.decode(errors="replace"))

    def failure(self, said: str) -> TransferError:
        return transfer_error(said, device=self.device, file=self.path, phase=self.phase)


@contextmanager
def _session(connection: DeviceConnection, path: PurePosixPath, phase: str) -> Iterator[_Session]:
    stream = connection.open_stream("sync:")
    with connection.errors(f"{phase} {path}"):
        yield _Session(stream, connection.device, path, phase)
        stream.write(_WORDS.pack(b"QUIT", 0))
        stream.close()


def _request(kind: bytes, path: PurePosixPath, suffix: str = "") -> bytes:
    text = os.fsencode(path) + suffix.encode()
    return _WORDS.pack(kind, len(text)) + text


def _data_packets(file: BinaryIO, limit: int) -> Iterator[tuple[bytes, int]]:
    """Payloads of whole DATA chunks below `limit` bytes, each with the file bytes it carries."""
    chunk_bytes = min(_CHUNK_BYTES, limit - _WORDS.size)
    chunks = max(1, limit // (chunk_bytes + _WORDS.size))
    while data := file.read(chunks * chunk_bytes):
        payload = bytearray()
        for start in range(0, len(data), chunk_bytes):
            chunk = data[start : start + chunk_bytes]
            payload += _WORDS.pack(b"DATA", len(chunk)) + chunk
        yield bytes(payload), len(data)


def open_for_reading(local: Path, *, device: str) -> BinaryIO:
    """Opens a file of this machine, with a typed error when that fails."""
    try:
        return local.open("rb")
    except OSError as error:
        raise transfer_error(str(error), device=device, file=local) from error
