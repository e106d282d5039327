"""A file on its way onto a device: what has arrived, and its way into the store."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

from android_harness.errors import PushVerificationError
from android_harness.pushing.device_hash import FIND_HASH, read_back
from android_harness.target import APPEND_BLOCK_BYTES, Target
from exporters.durable_files import sha256_of

_SLOWEST_HASH_BYTES_PER_S = 5e6

# Prints the SHA-256 of $1, or nothing when the file is absent. Its folder's time is that of its
# last use.
_HASH = f"""
[ -f "$1" ] || exit 0
touch "${{1%/*}}" 2>/dev/null
{FIND_HASH}
[ -n "$hash" ] || {{ echo unavailable; exit 0; }}
$hash <"$1"
"""

# Prints the SHA-256 of the first $2 blocks of the file $1.
_HASH_START = f"""
{FIND_HASH}
[ -n "$hash" ] || {{ echo unavailable; exit 0; }}
dd if="$1" bs={APPEND_BLOCK_BYTES} count="$2" 2>/dev/null | $hash
"""

# Moves $1 to $2 with mode $3 if its SHA-256 is $4, else removes it; prints the SHA-256 that it
# has. While it is hashed it bears the name of this process, so that nobody else opens it. Prints
# nothing when another push of the same content was faster.
_ADOPT = f"""
{FIND_HASH}
[ -n "$hash" ] || {{ echo unavailable; exit 0; }}
claimed=$1.$$
mv "$1" "$claimed" 2>/dev/null || exit 0
found=$($hash <"$claimed") || exit 1
found=${{found%% *}}
if [ "$found" = "$4" ]; then
  [ -f "$claimed" ] || exit 0
  mkdir -p "${{2%/*}}" && chmod "$3" "$claimed" && mv -f "$claimed" "$2" || exit 1
else
  rm -f "$claimed"
fi
echo "$found"
"""
_ADOPT_UNSEEN = 'mkdir -p "${2%/*}" && chmod "$3" "$1" && mv -f "$1" "$2"'

# Waits for who is hashing $1 under its own name, at most $2 seconds since a process id may be
# another's after a reboot; what a killed one left gets its name back.
_SETTLE = """
for claimed in "$1".*; do
  waits=0
  while [ -f "$claimed" ] && kill -0 "${claimed##*.}" 2>/dev/null && [ $waits -lt "$2" ]; do
    sleep 1
    waits=$((waits + 1))
  done
  [ ! -f "$claimed" ] || mv -f "$claimed" "$1"
done
"""


class IncomingFile:
    """The file `incoming/<sha256>` of a workspace, which any number of processes may fill at once.

    Its name says what it will be, so that a later attempt, of this process or another, finds it.
    Every process writes the same bytes to the same places (`Target.append`), so they cannot
    spoil each other's; one of them moves it into the store.
    """

    def __init__(self, target: Target, local: Path, digest: str, *, patience_s: float) -> None:
        self._target = target
        self._local = local
        self.digest = digest
        self.size = local.stat().st_size
        self.path = target.workspace / "incoming" / digest
        # A device that hashes more slowly than this is taken for frozen.
        self._hashing_s = patience_s + self.size / _SLOWEST_HASH_BYTES_PER_S

    def settle(self) -> None:
        """Lets another process finish that has all the content and is about to move it."""
        seconds = math.ceil(self._hashing_s)
        command = ["sh", "-c", _SETTLE, "settle", str(self.path), str(seconds)]
        self._target.run(command, timeout_s=2 * seconds)

    def digest_of(self, path: PurePosixPath) -> str | None:
        """The SHA-256 of a file of this size on the device; None when there is none."""
        said = self._first_word(["sh", "-c", _HASH, "hash", str(path)])
        return read_back(self._target, path) if said == "unavailable" else said or None

    def arrived(self) -> int:
        """How many bytes are there, in whole blocks. Something else that is there is removed.

        Where the device has no program for hashes, the size is believed: the whole is still read
        back before it is used.
        """
        found = self._target.stat(self.path)
        if found is None:
            return 0
        blocks = found.size // APPEND_BLOCK_BYTES
        size = blocks * APPEND_BLOCK_BYTES
        if found.size <= self.size:
            command = ["sh", "-c", _HASH_START, "start", str(self.path), str(blocks)]
            if self._first_word(command) in ("unavailable", sha256_of(self._local, size=size)):
                return size
        self._remove()
        return 0

    def adopt(self, to: PurePosixPath, *, mode: str) -> bool:
        """Moves the file to its place when it is whole; False when it is not, or not there.

        Raises:
            PushVerificationError: it is not what was sent; it is gone now.
        """
        found = self._target.stat(self.path)
        # Devices before Android 8 tell the lower 32 bits of sizes.
        if found is None or (found.size - self.size) % (1 << 32) != 0:
            return False
        arguments = [str(self.path), str(to), mode]
        said = self._first_word(["sh", "-c", _ADOPT, "adopt", *arguments, self.digest])
        if said == "unavailable":
            said = read_back(self._target, self.path)
            if said == self.digest:
                self._target.check(["sh", "-c", _ADOPT_UNSEEN, "adopt", *arguments])
            else:
                self._remove()
        if said not in ("", self.digest):
            raise self._other_content(said)
        return said == self.digest

    def _other_content(self, found: str) -> PushVerificationError:
        """Why the device has something else: the link damaged it, or it is not what was named."""
        error = PushVerificationError(
            f"the content has SHA-256 {found} on the device, {self.digest} was expected",
            device=self._target.name,
            file=self._local,
        )
        if sha256_of(self._local) != self.digest:
            error.remedy = "the file here has changed since its hash was taken: make it anew"
        return error

    def _remove(self) -> None:
        self._target.check(["rm", "-f", str(self.path)], timeout_s=self._hashing_s)

    def _first_word(self, command: list[str]) -> str:
        """The first word that a command prints; empty when it prints nothing."""
        result = self._target.check(command, timeout_s=self._hashing_s)
        said = result.stdout.decode(errors="replace").split()
        return said[0] if said else ""
