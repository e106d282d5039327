"""What of the SuperLink may be reached from where.

Flower serves its Fleet API, its Control API and its Runtime API on one port, and without accounts
the Control API asks nobody who they are: whoever reaches it may register nodes and start runs.
So hosts are let into the Fleet API alone, and the Control API asks for the folder's secret.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.protocol.fleet import Traffic

_log = logging.getLogger(__name__)

SECRET_HEADER = "fwdllm-secret"
TRAFFIC_PATH = "/fwdllm/traffic"
_FLEET, _CONTROL, _RUNTIME = "/v1/fleet/", "/v1/control/", "/v1/runtime/"


class Gate:
    """An ASGI application in front of the SuperLink's.

    Args:
        fleet_port: the port that hosts arrive at; all others are the server's own.
        peer: who a connection from this port comes from.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        fleet_port: int,
        secret: str,
        traffic: Callable[[], Traffic],
        peer: Callable[[int], str],
    ) -> None:
        self._app = app
        self._fleet_port = fleet_port
        self._secret = secret.encode()
        self._traffic = traffic
        self._peer = peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            _log.warning("refused a connection that is not HTTP")
        elif scope["server"][1] == self._fleet_port:
            await self._fleet(scope, receive, send)
        else:
            await self._own(scope, receive, send)

    async def _fleet(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                _log.warning(
                    "refused %s of %s: status %d",
                    scope["path"],
                    self._peer(scope["client"][1]),
                    message["status"],
                )
            await send(message)

        if scope["path"].startswith(_FLEET):
            await self._app(scope, receive, watched)
        else:
            await _answer(watched, 404)

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(_RUNTIME):  # asks for the token of a task, or for a signature
            await self._app(scope, receive, send)
        elif not hmac.compare_digest(dict(scope["headers"]).get(_HEADER, b""), self._secret):
            _log.warning("refused %s without the folder's secret", path)
            await _answer(send, 401)
        elif path == TRAFFIC_PATH:
            traffic = self._traffic()
            await _answer(send, 200, {"down": traffic.down, "up": traffic.up})
        elif path.startswith(_CONTROL):
            await self._app(scope, receive, send)
        else:
            await _answer(send, 404)


_HEADER = SECRET_HEADER.encode()


async def _answer(send: Send, status: int, content: object = None) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
