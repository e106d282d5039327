"""The host's end: opens its clients for a session, hands them orders, collects their outcomes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from exporters.errors import FwdllmError
from toolkit.federation.envelope import (
    Done,
    NotOpened,
    Open,
    Opened,
    Opening,
    Parcel,
    Response,
    Work,
    decode_request,
    encode_response,
)
from toolkit.protocol.binary import MalformedMessageError
from toolkit.protocol.codec import decode_order, encode_outcome
from toolkit.protocol.fleet import Fleet
from toolkit.protocol.order import Failure, Order
from toolkit.protocol.seed_book import SeedBook

_log = logging.getLogger(__name__)

# Makes the clients of a host from the server's settings.
OpenFleet = Callable[[str], AbstractContextManager[Fleet]]


class HostDesk:
    """Answers requests, one at a time; use it as a context manager.

    Its clients live on between messages. A request of another session closes those that there
    are and opens them anew: the server was started again.
    """

    def __init__(self, open_fleet: OpenFleet) -> None:
        self._open_fleet = open_fleet
        self._session: _Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def respond(self, message: bytes) -> bytes:
        """The encoded response to an encoded request; waits for clients, at most its patience.

        Raises:
            MalformedMessageError: these bytes are not a request.
        """
        request = decode_request(message)
        if isinstance(request, Open):
            return encode_response(self._opened(request))
        return encode_response(self._worked(request))

    def _opened(self, request: Open) -> Response:
        if self._session is None or self._session.request.session != request.session:
            self._close()
            self._session = _Session(request, self._open_fleet)
        response = self._session.opened(request.patience_s)
        if isinstance(response, NotOpened):
            self._close()
        return response

    def _worked(self, request: Work) -> Response:
        session = self._session
        if session is None or session.request.session != request.session:
            return NotOpened("this host was started again, or serves another training run")
        return session.worked(request)

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class _Session:
    """The clients of one session, opened in a thread: pushing a bundle may take minutes."""

    def __init__(self, request: Open, open_fleet: OpenFleet) -> None:
        self.request = request
        self._open_fleet = open_fleet
        self._book = SeedBook(request.run_seed)
        self._stack = ExitStack()
        self._fleet: Future[Fleet] = Future()
        self._under_way: dict[tuple[str, int, int], None] = {}
        self._thread = threading.Thread(target=self._open, name="open clients")
        self._thread.start()

    def opened(self, patience_s: float) -> Response:
        self._thread.join(patience_s)
        if self._thread.is_alive():
            return Opening()
        error = self._fleet.exception()
        if error is not None:
            reason = str(error) if isinstance(error, FwdllmError) else repr(error)
            return NotOpened(reason)
        members = self._fleet.result().members()
        _log.info("opened %d clients: %s", len(members), ", ".join(members))
        return Opened(tuple(members.items()))

    def worked(self, request: Work) -> Response:
        if self._thread.is_alive() or self._fleet.exception() is not None:
            return NotOpened("its clients are not open")
        fleet = self._fleet.result()
        orders, refused = self._orders(request, fleet)
        outcomes = list(refused)
        fleet.send(orders)
        for name, order in orders.items():
            self._under_way[name, order.round_number, order.increment] = None
        until = time.monotonic() + request.patience_s
        while self._under_way:
            replies = fleet.receive(max(0.0, until - time.monotonic()))
            if not replies:
                break
            for reply in replies:
                key = reply.client, reply.outcome.round_number, reply.outcome.increment
                self._under_way.pop(key, None)
                outcomes.append(Parcel(*key, encode_outcome(reply.outcome)))
        return Done(tuple(outcomes), tuple(Parcel(*key, b"") for key in self._under_way))

    def close(self) -> None:
        """Waits for clients that are at work: a phone serves one session at a time."""
        self._thread.join()
        self._stack.close()

    def _open(self) -> None:
        try:
            self._fleet.set_result(
                self._stack.enter_context(self._open_fleet(self.request.settings))
            )
        except Exception as error:
            _log.warning("could not open this host's clients: %s", error)
            self._fleet.set_exception(error)

    def _orders(self, request: Work, fleet: Fleet) -> tuple[dict[str, Order], list[Parcel]]:
        """Orders by client, and a failure for each that there is no use in handing on."""
        orders: dict[str, Order] = {}
        refused = []
        members = fleet.members()
        for parcel in request.orders:
            try:
                if parcel.client not in members:
                    raise MalformedMessageError(f"this host has no client {parcel.client!r}")
                if parcel.client in orders:
                    raise MalformedMessageError("there are two orders for it in one message")
                orders[parcel.client] = decode_order(parcel.content, self._book)
            except MalformedMessageError as error:
                _log.warning("refused an order for %s: %s", parcel.client, error)
                reason = f"the host refused the order: {error.message}"
                failure = Failure(parcel.round_number, parcel.increment, reason)
                refused.append(
                    Parcel(
                        parcel.client,
                        parcel.round_number,
                        parcel.increment,
                        encode_outcome(failure),
                    )
                )
        return orders, refused
