"""What the services of a device need of a way to it: a connection that carries byte streams.

Two ways have this shape: `AdbConnection` speaks to the device's daemon itself, `ServerConnection`
through the adb server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from android_harness.errors import DeviceGoneError, DeviceTimeoutError


@dataclass(frozen=True)
class AdbTimeouts:
    """Seconds to wait for a connection, for the user to accept the key, and for any reply."""

    connect_s: float = 10.0
    authorize_s: float = 30.0
    reply_s: float = 30.0


class Deadline:
    """A moment until which to wait; in the shape in which adb-shell hands time-outs around."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def transport_timeout_s(self) -> float | None:
        """Seconds left, at least 0; None waits for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


class DeviceStream(Protocol):
    """A byte stream to one service of a device."""

    @property
    def max_payload_bytes(self) -> int:
        """How much one `write` takes."""

    @property
    def received(self) -> bytes:
        """What the device sent and nobody read yet."""

    def write(self, data: bytes, *, until: Callable[[bytes], bool] | None = None) -> None:
        """Sends at most `max_payload_bytes`.

        Args:
            until: send no more once this is true of what the device has said meanwhile.

        Raises:
            OSError: the link broke, the device closed the stream, or (`TimeoutError`) it took
                nothing in time; `received` then holds all that had arrived.
        """

    def read(self, size: int, *, by: Deadline | None = None) -> bytes:
        """Exactly `size` bytes; each packet in time when no deadline is given.

        Raises:
            EOFError: the device closed the stream before.
            OSError: the link broke or (`TimeoutError`) the device stayed silent.
        """

    def close(self) -> None:
        """Ends the stream in order, so that the connection can carry another."""


class DeviceConnection(Protocol):
    """A connection that carries one stream after another.

    After any error the state of the link is unknown: close it and open another.

    Attributes:
        device: the target's name, for messages.
        timeouts: how long to wait for what.
        features: what the device's daemon says it can do.
    """

    device: str
    timeouts: AdbTimeouts
    features: frozenset[str]

    def is_alive(self) -> bool:
        """Whether an idle connection can still be used, as far as that can be seen from here."""

    def open_stream(self, service: str) -> DeviceStream:
        """Opens a service, e.g. `sync:`.

        Raises:
            ServiceRefusedError: the daemon does not offer it.
            DeviceError: the device cannot be reached; the subclass says why.
        """

    def errors(self, phase: str, *, command: str = "") -> AbstractContextManager[None]:
        """Turns what streams raise into typed errors; see `link_errors`."""

    def interrupt(self) -> None:
        """Breaks the link under what another thread does on it, where that can be done."""

    def close(self) -> None:
        """Ends the connection and its stream."""


@contextmanager
def link_errors(device: str, phase: str, *, command: str = "") -> Iterator[None]:
    """Turns what sockets and streams raise into errors that name the device and the phase.

    Raises:
        DeviceTimeoutError: for a `TimeoutError`.
        DeviceGoneError: for any other `OSError`, and for an `EOFError`.
    """
    try:
        yield
    except TimeoutError as error:
        raise DeviceTimeoutError(
            f"no reply: {error}", device=device, phase=phase, command=command
        ) from error
    except (OSError, EOFError) as error:
        raise DeviceGoneError(
            f"the link broke: {error}", device=device, phase=phase, command=command
        ) from error
