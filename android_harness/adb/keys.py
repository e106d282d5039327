"""The RSA keys by which a phone recognises this machine."""

from __future__ import annotations

import base64
import functools
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from adb_shell.auth.keygen import encode_pubkey, get_user_info, keygen
from adb_shell.auth.sign_cryptography import CryptographySigner
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from android_harness.host_folders import cache_root


class KeySigner(CryptographySigner):
    """adb-shell's signer, with the public half computed: adbkey.pub may be absent or stale.

    Raises:
        ValueError, TypeError: the file is no RSA key in PEM, or has a passphrase.
    """

    def __init__(self, private_key: Path) -> None:
        self.public_key = base64.b64encode(encode_pubkey(str(private_key)))
        self.public_key += get_user_info().encode()
        self.rsa_key = load_pem_private_key(private_key.read_bytes(), None)


def load_keys() -> list[KeySigner]:
    """The user's own adb key where there is one, then this project's, made on first use.

    A phone that already trusts the user's adb thus needs no new confirmation.
    """
    own = cache_root() / "adbkey"
    if not own.is_file():
        _generate(own)
    keys = [_load(own, own.stat().st_mtime_ns)]
    user = Path.home() / ".android" / "adbkey"
    if os.access(user, os.R_OK):
        with suppress(ValueError, TypeError):  # unusable: this project's own still serves
            keys.insert(0, _load(user, user.stat().st_mtime_ns))
    return keys


@functools.cache  # checking a private key takes a tenth of a second
def _load(path: Path, modified_ns: int) -> KeySigner:
    return KeySigner(path)


def _generate(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / "adbkey"
        keygen(str(fresh))
        fresh.chmod(0o600)
        with suppress(FileExistsError):  # of several processes the first one's key stays
            path.hardlink_to(fresh)
