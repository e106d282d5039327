"""The adb program with a server of its own, so that a running one is not disturbed."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import AdbServer
from android_harness.adb.server_address import ServerAddress
from android_harness.errors import DeviceError


class AdbProgram:
    """Runs adb with given arguments; a context manager that holds its server.

    Attributes:
        port: where the server listens, on loopback.
    """

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])

    def __call__(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [self._program, "-P", str(self.port), *arguments],
            env=self._environment,
            capture_output=True,
            timeout=30,
            **options,
        )

    def connect(self, serial: str) -> None:
        """Adds a device and waits until it is usable."""
        self("connect", serial)
        self("-s", serial, "wait-for-device")

    def start_server(self) -> None:
        self._server = subprocess.Popen(
            [self._program, "-P", str(self.port), "nodaemon", "server"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = AdbServer(ServerAddress(port=self.port), timeouts=AdbTimeouts())
        for _ in range(500):
            try:
                server.version()
                return
            except DeviceError:
                time.sleep(0.02)
        raise AssertionError("the adb server did not start")

    def kill_server(self) -> None:
        """Ends the server at once, as when it crashes."""
        self._server.kill()
        self._server.wait()

    def __enter__(self) -> Self:
        self.start_server()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill_server()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self._home), "ADB_MDNS": "0"}
