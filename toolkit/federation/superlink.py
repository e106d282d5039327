"""Flower's SuperLink, behind a gate and a relay that counts what hosts and server exchange.

Hosts connect to the relay, which forwards to a port of the loopback interface; the server's own
processes use a second one. Both lead into one Flower application, over TLS.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

import uvicorn

from toolkit.errors import TrainingError
from toolkit.federation.gate import Gate
from toolkit.federation.link_folder import LinkFolder, RunningSuperLink, SuperLinkDescription
from toolkit.federation.relay import MeteringRelay

_log = logging.getLogger(__name__)


def run_superlink(path: Path) -> None:
    """Serves until a signal ends it; SIGINT and SIGTERM end it in order.

    Raises:
        TrainingError: the folder holds no SuperLink, or its address cannot be listened on.
    """
    asyncio.run(_serve(LinkFolder(path)))


async def _serve(folder: LinkFolder) -> None:
    description = folder.description()
    with _loopback_socket() as fleet_socket, _loopback_socket() as admin_socket:
        fleet_port, admin_port = (each.getsockname()[1] for each in (fleet_socket, admin_socket))
        relay = MeteringRelay(fleet_port)
        port = int(description.address.rpartition(":")[2])
        try:
            port = await relay.start(description.listen, port)
        except OSError as error:
            raise TrainingError(
                f"cannot listen on {description.listen}:{port}: {error.strerror or error}",
                remedy="stop what uses the port, or make a folder with another --address",
            ) from error
        server = _server(folder, description, fleet_port, relay)
        # uvicorn ends at a signal and then raises it again, which must not end what follows.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        serving = asyncio.create_task(server.serve(sockets=[fleet_socket, admin_socket]))
        try:
            while not (server.started or serving.done()):
                await asyncio.sleep(0.02)
            running = RunningSuperLink(pid=os.getpid(), admin_port=admin_port, port=port)
            running.write(folder.running_file)
            _log.info("hosts may connect to %s (port %d)", description.address, port)
            await serving
        finally:
            folder.running_file.unlink(missing_ok=True)
            await relay.close()


def _server(
    folder: LinkFolder,
    description: SuperLinkDescription,
    fleet_port: int,
    relay: MeteringRelay,
) -> uvicorn.Server:
    from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
    from flwr.superlink.main import create_app

    secret = folder.secret()
    os.environ["FLWR_DATABASE"] = str(folder.path / "state.sqlite")
    app = create_app()
    app.state.enable_supernode_auth = True
    app.state.superexec_auth_secret = secret.encode()
    state = app.state.linkstate_factory.state()
    for host in description.hosts:
        node = state.get_node_id_by_public_key(host.public_key.encode()) or state.create_node(
            NOOP_FLWR_AID,
            NOOP_ACCOUNT_NAME,
            host.public_key.encode(),
            HEARTBEAT_DEFAULT_INTERVAL,
            name=host.name,
        )
        _log.info("host %s is node %d", host.name, node)
    gate = Gate(app, fleet_port=fleet_port, secret=secret, traffic=relay.traffic, peer=relay.peer)
    return uvicorn.Server(
        uvicorn.Config(
            gate,
            ssl_certfile=str(folder.certificate),
            ssl_keyfile=str(folder.key),
            # Hosts must not be able to say from where they come.
            proxy_headers=False,
            access_log=False,
            log_config=None,
        )
    )


def _loopback_socket() -> socket.socket:
    """Bound to a free port; uvicorn listens on it."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    return bound
