"""SHA-256 of what lies on a device, by whatever program it has."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from android_harness.target import Target
from exporters.durable_files import sha256_of

# For device scripts: sets $hash to a program that prints the SHA-256 of its input first, or to
# nothing. A program counts only if it knows the hash of no input at all. OpenSSL goes first: it
# uses the processor's instructions for SHA-256, which coreutils and busybox need not.
FIND_HASH = """
hash=
for each in "openssl dgst -sha256 -r" sha256sum "toybox sha256sum" "busybox sha256sum"; do
  case $($each </dev/null 2>/dev/null) in
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855*) hash=$each; break ;;
  esac
done
"""


def read_back(target: Target, path: PurePosixPath) -> str:
    """The SHA-256 of a file on a device that has no program for it, by a copy here."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "content"
        target.pull(path, copy)
        return sha256_of(copy)
