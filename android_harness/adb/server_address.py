"""Where an adb server is looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from android_harness.errors import ServerAddressError

_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", 5037


@dataclass(frozen=True)
class ServerAddress:
    """Where an adb server listens: HOST and port, or the path of a UNIX socket."""

    host: str = _DEFAULT_HOST
    port: int = _DEFAULT_PORT
    path: str | None = None

    def __str__(self) -> str:
        return self.path.replace("\0", "@") if self.path else f"{self.host}:{self.port}"


def server_address() -> ServerAddress:
    """Where adb itself looks: $ADB_SERVER_SOCKET, or $ANDROID_ADB_SERVER_ADDRESS and _PORT.

    Raises:
        ServerAddressError: these are no address.
    """
    spec = os.environ.get("ADB_SERVER_SOCKET")
    if not spec:
        return ServerAddress(
            os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or _DEFAULT_HOST,
            _port(os.environ.get("ANDROID_ADB_SERVER_PORT") or str(_DEFAULT_PORT)),
        )
    kind, _, rest = spec.partition(":")
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        return ServerAddress(host or _DEFAULT_HOST, _port(port))
    if kind == "localfilesystem" and rest:
        return ServerAddress(path=rest)
    if kind == "localabstract" and rest:
        return ServerAddress(path="\0" + rest)
    raise ServerAddressError(
        f"ADB_SERVER_SOCKET={spec} is no address of an adb server",
        remedy="use tcp:HOST:PORT, tcp:PORT, localfilesystem:PATH or localabstract:NAME",
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ServerAddressError(
            f"{text!r} is no port of an adb server",
            remedy="mend ADB_SERVER_SOCKET or ANDROID_ADB_SERVER_PORT; adb's own is 5037",
        )
    return int(text)
