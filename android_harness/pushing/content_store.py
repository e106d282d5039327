"""Files on a device by the hash of their content: verified once there, never sent twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from android_harness.errors import (
    LOST,
    NoSpaceError,
    PushVerificationError,
)
from android_harness.facts.free_space import read_free_bytes
from android_harness.pushing.incoming_file import IncomingFile
from android_harness.target import Target
from android_harness.transfer_errors import transfer_error
from exporters.durable_files import sha256_of

_PATIENCE_S = 30.0
_ATTEMPTS_WITHOUT_PROGRESS = 3


class ContentStore:
    """The folder `store/<sha256>/<name>` of a target's workspace.

    A file gets its name there only after the device confirmed its hash, so that a name in the
    store is a promise. Each store object checks what it finds once more, the first time.

    Args:
        patience_s: how long to wait for a device that is lost or silent; hashing has its time.
    """

    def __init__(self, target: Target, *, patience_s: float = _PATIENCE_S) -> None:
        self._target = target
        self._patience_s = patience_s
        self._folder = target.workspace / "store"
        self._verified: set[PurePosixPath] = set()
        self._lock = threading.Lock()

    def place(
        self,
        local: Path,
        *,
        sha256: str | None = None,
        executable: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> PurePosixPath:
        """The path on the device of a file with the content of `local`.

        Only what is missing there is sent. When the link breaks, the device is waited for and
        the rest follows, as long as each attempt brings some of it.

        Args:
            sha256: of `local`, where that is known; saves reading all of it before it is sent.
            progress: called with the bytes that are there: first with what was there before.

        Raises:
            NoSpaceError: before anything is sent, when the device has no room for it.
            DeviceGoneError, DeviceOfflineError, DeviceTimeoutError: the link does not hold; what
                has arrived stays, and calling this again, also from another process, sends the
                rest.
            PushVerificationError: what arrived is not what was sent, or the file is not `sha256`.
            TransferError, DeviceError: it could not be sent.
        """
        try:
            digest, size = sha256 or sha256_of(local), local.stat().st_size
        except OSError as error:
            raise transfer_error(str(error), device=self._target.name, file=local) from error
        path = self._folder / digest / local.name
        report = progress or (lambda _: None)
        with self._lock:  # two threads must not send the same content
            if path not in self._verified:
                incoming = IncomingFile(self._target, local, digest, patience_s=self._patience_s)
                self._send(local, incoming, path, "755" if executable else "644", report)
                self._verified.add(path)
        report(size)
        return path

    def _send(
        self,
        local: Path,
        incoming: IncomingFile,
        path: PurePosixPath,
        mode: str,
        report: Callable[[int], None],
    ) -> None:
        """Makes `path` whole, over as many connections as that takes."""
        furthest, attempts = -1, 0  # attempts since one brought something
        while True:
            attempts += 1
            try:
                incoming.settle()
                if incoming.digest_of(path) == incoming.digest:
                    return
                there = incoming.arrived()
                if furthest < 0:
                    self._require_space(incoming.size - there, local)
                if there > furthest:
                    furthest, attempts = there, 1
                report(there)
                self._target.append(local, incoming.path, offset=there, progress=report)
                if incoming.adopt(path, mode=mode):
                    return
                if attempts == _ATTEMPTS_WITHOUT_PROGRESS:
                    raise PushVerificationError(
                        "the file does not become whole on the device",
                        device=self._target.name,
                        file=local,
                    )
            except LOST as error:
                said = f"{max(furthest, 0)} of {incoming.size} bytes of {local.name}"
                error.remedy = f"{error.remedy}; what has arrived, {said}, is not sent again"
                if attempts == _ATTEMPTS_WITHOUT_PROGRESS or not self._is_back():
                    raise

    def _is_back(self) -> bool:
        """Whether the lost device answers again in time."""
        try:
            self._target.wait_for(timeout_s=self._patience_s)
        except LOST:
            return False
        return True

    def _require_space(self, needed: int, local: Path) -> None:
        free = read_free_bytes(self._target, self._folder)
        if free is not None and free < needed:
            raise NoSpaceError(
                f"{needed / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free",
                device=self._target.name,
                file=local,
            )
