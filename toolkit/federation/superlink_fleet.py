"""The server's end: a training run's fleet behind a running SuperLink of this machine.

Flower would start a process for the server's part of a run. The training run is that process: it
starts a Flower run, acquires the run's task itself, and uses the Grid that the task's token opens.
"""

from __future__ import annotations

import fcntl
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import run_from_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import PullTaskInputRequest
from flwr.serverapp import Grid
from flwr.supercore.constant import TaskType
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from toolkit.errors import TrainingError
from toolkit.federation.flower_fleet import FlowerFleet, FlowerTimes
from toolkit.federation.flower_task import AcquiredTask, RuntimeApi
from toolkit.federation.gate import SECRET_HEADER, TRAFFIC_PATH
from toolkit.federation.link_folder import LinkFolder
from toolkit.protocol.fleet import Traffic
from toolkit.protocol.seed_book import SeedBook

_log = logging.getLogger(__name__)

# Flower wants an app; nothing of it is ever loaded (see `flower_task`).
_PYPROJECT = b"""\
[project]
name = "fwdllm"
version = "1.0.0"

[tool.flwr.app]
publisher = "fwdllm"

[tool.flwr.app.components]
serverapp = "not_loaded:app"
clientapp = "not_loaded:app"
"""
_TASK_TIMEOUT_S = 30.0
_RETRY_S = 10.0


@contextmanager
def superlink_fleet(
    path: Path, *, settings: str, book: SeedBook, times: FlowerTimes | None = None
) -> Iterator[FlowerFleet]:
    """The fleet of the SuperLink whose folder this is; hosts join it as they connect.

    Args:
        settings: what every host needs to make its clients.
        book: the run's seeds; the caller notes those that it draws.

    Raises:
        TrainingError: the SuperLink does not run, or serves another training run.
    """
    folder = LinkFolder(path)
    running = folder.running()
    address = f"127.0.0.1:{running.admin_port}"
    certificate, secret = folder.ca.read_bytes(), folder.secret()
    api = RuntimeApi(address, certificate, secret.encode())
    with _alone(folder):
        try:
            run_id = _start_run(address, certificate, secret)
            task = _acquire(api, run_id)
        except httpx.HTTPError as error:
            raise TrainingError(
                f"the SuperLink does not answer as it should: {error}",
                remedy="look at its log, and start it again if it is gone",
                file=path,
            ) from error
        with (
            task.doing(),
            _grid(task, address, certificate) as grid,
            _traffic_meter(address, folder.ca, secret) as traffic,
        ):
            yield FlowerFleet(grid, settings=settings, book=book, times=times, traffic=traffic)


@contextmanager
def _alone(folder: LinkFolder) -> Iterator[None]:
    """Two training runs would acquire each other's tasks, and want the same phones."""
    with folder.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                "another training run uses this SuperLink",
                remedy="wait for it to end, or stop it",
                file=folder.path,
            ) from error
        yield


class _Secret:
    """Lets this process through the gate to the Control API."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        context.request.headers[SECRET_HEADER] = self._secret
        return call_next(context)


def _start_run(address: str, certificate: bytes, secret: str) -> int:
    app, _ = build_fab_from_files({"pyproject.toml": _PYPROJECT})
    control = ControlHttpClient.from_server_address(
        address, False, certificate, interceptors=[_Secret(secret)]
    )
    try:
        response = control.StartRun(StartRunRequest(fab=Fab(content=app)))
    finally:
        control.close()
    return int(response.run_id)


def _acquire(api: RuntimeApi, run_id: int) -> AcquiredTask:
    until = time.monotonic() + _TASK_TIMEOUT_S
    with api.acquirer(TaskType.SERVER_APP) as acquirer:
        while time.monotonic() < until:
            task = acquirer.acquire()
            if task is not None and task.run_id == run_id:
                return task
            if task is None:
                time.sleep(0.1)
            else:
                _log.info("dropped the task of a training run that died as it started")
                task.client.close()
    raise TrainingError("the SuperLink did not hand out the run's task", remedy="start it again")


@contextmanager
def _grid(task: AcquiredTask, address: str, certificate: bytes) -> Iterator[Grid]:
    response = task.client.PullTaskInput(PullTaskInputRequest())
    # Flower stamps every message of a process with these.
    TaskIdentity.task_id = response.task_id
    TaskIdentity.run_id = response.run.run_id
    TaskIdentity.node_id = response.context.node_id
    grid = HttpGrid(runtime_api_address=address, root_certificates=certificate, token=task.token)
    # By default it tries for ever, and a receive with a timeout would never end.
    grid._retry_invoker.max_time = _RETRY_S
    grid.set_run(run_from_proto(response.run))
    try:
        yield grid
    finally:
        grid.close()


@contextmanager
def _traffic_meter(address: str, ca: Path, secret: str) -> Iterator[Callable[[], Traffic | None]]:
    trusted = ssl.create_default_context(cafile=str(ca))
    with httpx.Client(verify=trusted, headers={SECRET_HEADER: secret}) as client:

        def read() -> Traffic | None:
            try:
                counts = client.get(f"https://{address}{TRAFFIC_PATH}").raise_for_status().json()
            except httpx.HTTPError as error:
                _log.warning("the SuperLink does not tell its traffic: %s", error)
                return None
            return Traffic(down=counts["down"] - start.down, up=counts["up"] - start.up)

        start = Traffic(0, 0)
        start = read() or start
        yield read
