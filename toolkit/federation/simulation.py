"""Flower's simulation engine: thousands of clients on one machine, in Ray's worker processes.

Every simulated node is one client. Any worker process may be given any node's message, so a client
is asked for anew with each message, and its replica travels with the node's Flower context.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.server.superlink.fleet.vce.backend.backend import BackendConfig
from flwr.serverapp import Grid, ServerApp

from toolkit.clients.outcome import outcome_of
from toolkit.errors import TrainingError
from toolkit.federation.envelope import (
    Done,
    Open,
    Opened,
    Parcel,
    Work,
    decode_request,
    encode_response,
)
from toolkit.federation.flower_fleet import FlowerFleet, FlowerTimes
from toolkit.federation.flower_message import content_of, reply_message
from toolkit.protocol.binary import MalformedMessageError
from toolkit.protocol.codec import (
    decode_order,
    decode_replica,
    encode_outcome,
    encode_replica,
)
from toolkit.protocol.fleet import Client
from toolkit.protocol.order import Failure
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import ReplicaState

# Makes the client with this number, or gives the one that its process has. It is called in worker
# processes for every message: Ray must be able to pickle it, and models are best kept in between.
ClientFactory = Callable[[int], Client]

_STATE, _REPLICA, _RUN_SEED = "fwdllm", "replica", "run_seed"


@runtime_checkable
class PortableClient(Protocol):
    """A client whose replica can be carried from one process to another."""

    @property
    def replica(self) -> tuple[int, ReplicaState]:
        """The version that it holds, and the state."""
        ...

    def resume(self, version: int, state: ReplicaState) -> None:
        """Takes up the replica of a client with the same number."""
        ...


@contextmanager
def simulated_flower_fleet(
    factory: ClientFactory,
    clients: int,
    *,
    book: SeedBook,
    cpus: int = 1,
    cpus_per_client: float = 1.0,
    times: FlowerTimes | None = None,
    join_timeout_s: float = 600.0,
) -> Iterator[FlowerFleet]:
    """A fleet of simulated clients, all of them joined.

    Args:
        cpus: processors given to the simulation; `cpus` / `cpus_per_client` clients work at once.

    Raises:
        TrainingError: the engine or a client did not start.
    """
    engine = _Engine(factory, clients, cpus=cpus, cpus_per_client=cpus_per_client)
    with engine.running() as grid:
        times = times or FlowerTimes(poll_s=0.05)
        fleet = FlowerFleet(grid, settings="", book=book, times=times)
        fleet.await_members(clients, join_timeout_s, stopped=engine.stopped)
        yield fleet


def simulation_app(factory: ClientFactory) -> ClientApp:
    """What Flower runs for every message to a simulated node."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return reply_message(_respond(factory, content_of(message), context), message)

    return app


def _respond(factory: ClientFactory, content: bytes, context: Context) -> bytes:
    request = decode_request(content)
    client = factory(int(context.node_config["partition-id"]))
    if isinstance(request, Open):
        # Seeds take 64 bits, and a record's integers are signed.
        context.state[_STATE] = ConfigRecord({_RUN_SEED: str(request.run_seed)})
        return encode_response(Opened(((client.name, client.examples),)))
    return encode_response(_work(client, request, context))


def _work(client: Client, request: Work, context: Context) -> Done:
    state = context.state.config_records[_STATE]
    book = SeedBook(int(str(state[_RUN_SEED])))
    replica = state.get(_REPLICA)
    if isinstance(client, PortableClient) and isinstance(replica, bytes):
        client.resume(*decode_replica(replica))
    outcomes = []
    for parcel in request.orders:
        key = parcel.client, parcel.round_number, parcel.increment
        try:
            outcome = outcome_of(client, decode_order(parcel.content, book))
        except MalformedMessageError as error:
            reason = f"the client refused the order: {error.message}"
            outcome = Failure(parcel.round_number, parcel.increment, reason)
        outcomes.append(Parcel(*key, encode_outcome(outcome)))
    if isinstance(client, PortableClient):
        state[_REPLICA] = encode_replica(*client.replica)
    return Done(tuple(outcomes), ())


class _Engine:
    """Flower's simulation in a thread of its own; its server app only lends out the Grid."""

    def __init__(
        self, factory: ClientFactory, clients: int, *, cpus: int, cpus_per_client: float
    ) -> None:
        self._factory = factory
        self._clients = clients
        self._backend: BackendConfig = {
            "init_args": {"num_cpus": cpus, "include_dashboard": False},
            "client_resources": {"num_cpus": cpus_per_client, "num_gpus": 0.0},
        }
        self._grids: queue.SimpleQueue[Grid | BaseException] = queue.SimpleQueue()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flower simulation")

    @contextmanager
    def running(self) -> Iterator[Grid]:
        self._thread.start()
        try:
            grid = self._grids.get()
            if isinstance(grid, BaseException):
                raise TrainingError(f"Flower's simulation did not start: {grid}") from grid
            yield grid
        finally:
            self._finished.set()
            self._thread.join()

    def stopped(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        from flwr.simulation import run_simulation

        server = ServerApp()

        @server.main()
        def main(grid: Grid, context: Context) -> None:
            self._grids.put(grid)
            self._finished.wait()

        try:
            run_simulation(
                server_app=server,
                client_app=simulation_app(self._factory),
                num_supernodes=self._clients,
                backend_config=self._backend,
            )
        except BaseException as error:  # SystemExit too: it is how Flower reports a problem
            self._grids.put(error)
