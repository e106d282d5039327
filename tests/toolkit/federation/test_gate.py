"""What the gate lets through."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from toolkit.federation.gate import SECRET_HEADER, TRAFFIC_PATH, Gate
from toolkit.protocol.fleet import Traffic

FLEET_PORT, OWN_PORT = 4001, 4002


async def _superlink(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses to activate nodes; everything else is fine."""
    status = 403 if scope["path"].endswith("activate-node") else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"superlink"})


def _ask(port: int, path: str, secret: str | None = None) -> httpx.Response:
    gate = Gate(
        _superlink,
        fleet_port=FLEET_PORT,
        secret="open sesame",
        traffic=lambda: Traffic(down=7, up=5),
        peer=lambda port: "192.0.2.1:5",
    )
    headers = {} if secret is None else {SECRET_HEADER: secret}

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate)) as client:
            return await client.post(f"https://127.0.0.1:{port}{path}", headers=headers)

    return asyncio.run(post())


def test_hosts_reach_the_fleet_api_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert _ask(FLEET_PORT, "/v1/fleet/pull-messages").text == "superlink"
    assert not caplog.records
    for path in (
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "//v1/fleet/x",
        "/docs",
        TRAFFIC_PATH,
    ):
        # Not even with the secret, were it known.
        assert _ask(FLEET_PORT, path, "open sesame").status_code == 404
    assert "192.0.2.1:5" in caplog.text


def test_a_refusal_of_the_superlink_is_logged_with_its_peer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    assert _ask(FLEET_PORT, "/v1/fleet/activate-node").status_code == 403
    assert "refused /v1/fleet/activate-node of 192.0.2.1:5: status 403" in caplog.text


@pytest.mark.parametrize("path", ["/v1/control/start-run", TRAFFIC_PATH, "/docs"])
@pytest.mark.parametrize("secret", [None, "", "open", "open sesame!"])
def test_the_control_api_asks_for_the_secret(path: str, secret: str | None) -> None:
    assert _ask(OWN_PORT, path, secret).status_code == 401


def test_the_servers_own_processes_get_through() -> None:
    assert _ask(OWN_PORT, "/v1/control/start-run", "open sesame").text == "superlink"
    assert _ask(OWN_PORT, TRAFFIC_PATH, "open sesame").json() == {"down": 7, "up": 5}
    assert _ask(OWN_PORT, "/docs", "open sesame").status_code == 404
    assert _ask(OWN_PORT, "/v1/runtime/acquire-task").text == "superlink"
