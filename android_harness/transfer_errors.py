"""From what a device or an operating system says about a file to the typed error."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from android_harness.errors import (
    MissingFileError,
    NoSpaceError,
    PermissionDeniedError,
    TransferError,
)

# Fragments of strerror(3), which ADB's FAIL messages end with.
_BY_TEXT: tuple[tuple[str, type[TransferError]], ...] = (
    ("No space left on device", NoSpaceError),
    ("Disk quota exceeded", NoSpaceError),
    ("Permission denied", PermissionDeniedError),
    ("Operation not permitted", PermissionDeniedError),
    ("Read-only file system", PermissionDeniedError),
    ("No such file or directory", MissingFileError),
)


def transfer_error(
    said: str, *, device: str, file: Path | PurePosixPath, phase: str = ""
) -> TransferError:
    """The error for a file operation that failed with the message `said`."""
    kind = next((kind for text, kind in _BY_TEXT if text in said), TransferError)
    return kind(said, device=device, phase=phase, file=str(file))
