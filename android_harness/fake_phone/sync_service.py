"""The service `sync:`: the phone's files (adb's SYNC.TXT and file_sync_protocol.h)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from android_harness.fake_phone.connection import Stream
from android_harness.fake_phone.device_root import DeviceRoot
from android_harness.fake_phone.faults import Faults
from android_harness.fake_phone.traffic import Traffic

_WORDS = struct.Struct("<4sI")
_STAT_V2 = struct.Struct("<4sIQQIIIIQqqq")
_CHUNK_BYTES = 64 * 1024
_WORD_LIMIT = 0xFFFFFFFF


async def serve_sync(stream: Stream, root: DeviceRoot, faults: Faults, traffic: Traffic) -> None:
    """Answers requests until QUIT."""
    while True:
        kind, length = _WORDS.unpack(await stream.read_exactly(_WORDS.size))
        if kind == b"QUIT":
            return
        name = (await stream.read_exactly(length)).decode(errors="surrogateescape")
        if kind == b"SEND":
            await _receive_file(stream, name, root, faults, traffic)
        elif kind == b"RECV":
            await _send_file(stream, root.resolve(name))
        elif kind == b"LIST":
            await _list_folder(stream, root.resolve(name))
        elif kind in (b"STAT", b"STA2", b"LST2"):
            await stream.write(_stat(kind, root.resolve(name)))
        else:
            await stream.write(_failure(f"unknown command {kind!r}"))
            return


async def _receive_file(
    stream: Stream, request: str, root: DeviceRoot, faults: Faults, traffic: Traffic
) -> None:
    name, _, mode = request.rpartition(",")
    path = root.resolve(name)
    received = 0
    failed = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        await _fail(stream, f"couldn't create file: {error.strerror}", faults)
        await _drain(stream)
        return
    with file:
        while True:
            kind, length = _WORDS.unpack(await stream.read_exactly(_WORDS.size))
            if kind != b"DATA":
                break
            data = await stream.read_exactly(length)
            traffic.add_pushed(len(data))
            received += len(data)
            limit = faults.fail_push_after_bytes
            if limit is not None and received > limit:
                failed = faults.fail_message
            else:
                try:
                    file.write(data)
                except OSError as error:
                    failed = f"write failed: {error.strerror}"
            if failed is not None:
                break
    if failed is not None:
        path.unlink(missing_ok=True)
        await _fail(stream, failed, faults)
        await _drain(stream)
        return
    if faults.corrupt_push:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    path.chmod(int(mode or "420") & 0o777)
    os.utime(path, (length, length))  # DONE carries the modification time in place of a length
    await stream.write(_WORDS.pack(b"OKAY", 0))


async def _fail(stream: Stream, message: str, faults: Faults) -> None:
    """Reports a failed push; the host is still sending and may acknowledge late."""
    stream.muted = faults.silent_after_fail
    await stream.send_unacknowledged(_failure(message))


async def _drain(stream: Stream) -> None:
    """Takes the rest of a push that has failed, up to its DONE."""
    while True:
        kind, length = _WORDS.unpack(await stream.read_exactly(_WORDS.size))
        if kind != b"DATA":
            return
        await stream.read_exactly(length)


async def _send_file(stream: Stream, path: Path) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        await stream.write(_failure(f"open failed: {error.strerror}"))
        return
    with file:
        while data := file.read(_CHUNK_BYTES):
            await stream.write(_WORDS.pack(b"DATA", len(data)) + data)
    await stream.write(_WORDS.pack(b"DONE", 0))


async def _list_folder(stream: Stream, path: Path) -> None:
    try:
        entries = sorted(path.iterdir())
    except OSError:
        entries = []  # the protocol has no other way to say so
    for entry in entries:
        name = os.fsencode(entry.name)
        await stream.write(_short_stat(b"DENT", entry) + struct.pack("<I", len(name)) + name)
    await stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))


def _stat(kind: bytes, path: Path) -> bytes:
    if kind == b"STAT":
        return _short_stat(kind, path)
    try:
        found = path.stat() if kind == b"STA2" else path.lstat()
    except OSError as error:
        return _STAT_V2.pack(kind, error.errno or 0, *(0,) * 10)
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    return _STAT_V2.pack(
        kind,
        0,
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        *times,
    )


def _short_stat(kind: bytes, path: Path) -> bytes:
    """Mode, size and time in 32 bits each; all zero for what is not there."""
    try:
        found = path.lstat()
    except OSError:
        return struct.pack("<4s3I", kind, 0, 0, 0)
    size, mtime = found.st_size & _WORD_LIMIT, int(found.st_mtime) & _WORD_LIMIT
    return struct.pack("<4s3I", kind, found.st_mode, size, mtime)


def _failure(message: str) -> bytes:
    text = message.encode()
    return _WORDS.pack(b"FAIL", len(text)) + text
