"""Files on a device by the hash of their content: verified once there, never sent twice."""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from android_harness.errors import PushVerificationError, TransferError
from android_harness.target import Target
from android_harness.transfer_errors import transfer_error
from exporters.durable_files import sha256_of

# Prints the SHA-256 of $1, nothing when the file is absent, or `unavailable` when the device has
# no program for it.
_HASH = """
[ -f "$1" ] || exit 0
sha256sum "$1" 2>/dev/null || toybox sha256sum "$1" 2>/dev/null ||
  busybox sha256sum "$1" 2>/dev/null || echo unavailable
"""
_ADOPT = """
mkdir -p "${2%/*}" && chmod "$3" "$1" && mv -f "$1" "$2"
"""


class ContentStore:
    """The folder `store/<sha256>/<name>` of a target's workspace.

    A file gets its name there only after the device confirmed its hash, so that a name in the
    store is a promise. Each store object checks what it finds once more, the first time.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._folder = target.workspace / "store"
        self._verified: set[PurePosixPath] = set()
        self._lock = threading.Lock()

    def place(
        self,
        local: Path,
        *,
        executable: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> PurePosixPath:
        """The path on the device of a file with the content of `local`.

        Args:
            progress: called with the bytes sent so far; once with all when nothing is sent.

        Raises:
            PushVerificationError: what arrived is not what was sent.
            TransferError, DeviceError: it could not be sent.
        """
        try:
            digest, size = sha256_of(local), local.stat().st_size
        except OSError as error:
            raise transfer_error(str(error), device=self._target.name, file=local) from error
        path = self._folder / digest / local.name
        with self._lock:  # two threads must not send the same content
            if path not in self._verified:
                if self._digest_of(path) != digest:
                    self._send(local, path, digest, executable, progress)
                self._verified.add(path)
        if progress is not None:
            progress(size)
        return path

    def _send(
        self,
        local: Path,
        path: PurePosixPath,
        digest: str,
        executable: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        incoming = self._folder / "incoming" / uuid.uuid4().hex
        try:
            self._target.push(local, incoming, progress=progress)
            arrived = self._digest_of(incoming)
            if arrived != digest:
                raise PushVerificationError(
                    f"the content has SHA-256 {arrived} on the device and {digest} here",
                    device=self._target.name,
                    file=local,
                )
        except TransferError:
            self._target.run(["rm", "-f", str(incoming)])
            raise
        mode = "755" if executable else "644"
        self._target.check(["sh", "-c", _ADOPT, "adopt", str(incoming), str(path), mode])

    def _digest_of(self, path: PurePosixPath) -> str | None:
        """The SHA-256 of a file on the device, or None when it is absent.

        Without a hash program there, the content is read back and hashed here.
        """
        result = self._target.check(["sh", "-c", _HASH, "hash", str(path)])
        words = result.stdout.decode().split()
        if not words:
            return None
        if words[0] != "unavailable":
            return words[0].removeprefix("\\")  # coreutils marks names with odd characters so
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "content"
            self._target.pull(path, copy)
            return sha256_of(copy)
