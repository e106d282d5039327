"""How a device decides whether to trust a host: a signed token, or a new public key."""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
import threading

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

_TOKEN_BYTES = 20  # the size of a SHA-1 digest, which the host signs as if it were one
_MODULUS_BYTES = 256
# Android's RSAPublicKey: words in the modulus, n0inv, modulus, R² mod n, exponent.
_PUBLIC_KEY = struct.Struct(f"<II{_MODULUS_BYTES}s{_MODULUS_BYTES}sI")


class KeyRing:
    """The host keys that a device trusts.

    Args:
        known: public keys as in adbkey.pub (base64, then a comment).
        accept_new: trust every key that is offered, like a user who taps "allow".
    """

    def __init__(self, known: tuple[str, ...], *, accept_new: bool) -> None:
        self._keys = [parse_public_key(key.encode()) for key in known]
        self._accept_new = accept_new
        self._lock = threading.Lock()

    def new_token(self) -> bytes:
        return secrets.token_bytes(_TOKEN_BYTES)

    def verifies(self, token: bytes, signature: bytes) -> bool:
        """Whether a trusted key signed the token."""
        with self._lock:
            keys = list(self._keys)
        return any(_signed(key, token, signature) for key in keys)

    def offer(self, data: bytes) -> bool:
        """Whether a public key that a host sends becomes trusted."""
        if not self._accept_new:
            return False
        try:
            key = parse_public_key(data)
        except ValueError:
            return False
        with self._lock:
            self._keys.append(key)
        return True


def parse_public_key(data: bytes) -> rsa.RSAPublicKey:
    """A key from the text of adbkey.pub.

    Raises:
        ValueError: it is malformed.
    """
    words = data.rstrip(b"\0").split()
    try:
        raw = base64.b64decode(words[0], validate=True)
        _, _, modulus, _, exponent = _PUBLIC_KEY.unpack(raw)
    except (IndexError, binascii.Error, struct.error) as error:
        raise ValueError("not an ADB public key") from error
    return rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "little")).public_key()


def _signed(key: rsa.RSAPublicKey, token: bytes, signature: bytes) -> bool:
    try:
        # ADB fixes the hash: PKCS#1 v1.5 over a token that stands for a SHA-1 digest.
        key.verify(signature, token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))
    except InvalidSignature:
        return False
    return True
