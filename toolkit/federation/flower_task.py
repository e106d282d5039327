"""Tasks of Flower's Runtime API, run in this process instead of a process of Flower's.

Flower starts a process for every message that a SuperNode gets, and runs in it whatever code the
server sent. Phones stay open, and replicas stay, only in a process that lives on; so a SuperNode
runs here with `--isolation process`, which leaves its tasks for others to acquire, and this is
who acquires them. No code travels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RuntimeApi:
    """Where tasks are acquired.

    Args:
        certificate: PEM of the authority that signed the server's; None: plain HTTP, which is
            for the loopback interface only.
        secret: whoever knows it may acquire tasks.
    """

    address: str
    certificate: bytes | None
    secret: bytes

    def client(self, interceptor: ProtobufClientInterceptor) -> RuntimeHttpClient:
        return RuntimeHttpClient.from_server_address(
            server_address=self.address,
            insecure=self.certificate is None,
            root_certificates=self.certificate,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec"), interceptor],
        )

    @contextmanager
    def acquirer(self, kind: TaskType) -> Iterator[TaskAcquirer]:
        client = self.client(
            SuperExecAuthHttpInterceptor(
                master_secret=self.secret,
                protected_methods={"/flwr.proto.Runtime/AcquireTask"},
            )
        )
        try:
            yield TaskAcquirer(self, client, kind)
        finally:
            client.close()


class TaskAcquirer:
    """Acquires pending tasks of one kind, the oldest first."""

    def __init__(self, api: RuntimeApi, client: RuntimeHttpClient, kind: TaskType) -> None:
        self._api = api
        self._client = client
        self._request = AcquireTaskRequest(supported_task_types=[kind])

    def acquire(self) -> AcquiredTask | None:
        """None where nothing is pending.

        Raises:
            httpx.HTTPError: the API does not answer, or refuses.
        """
        response = self._client.AcquireTask(self._request)
        if not response.token:
            return None
        client = self._api.client(RuntimeTokenHttpInterceptor(response.token))
        return AcquiredTask(client, response.token, response.task.run_id)


@dataclass(frozen=True)
class AcquiredTask:
    """A task that is this process's to do; `client` speaks in its name."""

    client: RuntimeHttpClient
    token: str
    run_id: int

    @contextmanager
    def doing(self) -> Iterator[None]:
        """Keeps the task alive meanwhile, and reports how it ended."""
        heartbeat = HeartbeatSender(self._beat)
        heartbeat.start()
        output = PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="it was interrupted")
        try:
            yield
            output = PushTaskOutputRequest(sub_status=SubStatus.COMPLETED, details="")
        finally:
            heartbeat.stop()
            try:
                self.client.PushTaskOutput(output)
            except httpx.HTTPError as error:
                _log.warning("could not report the end of a Flower task: %s", error)
            self.client.close()

    def _beat(self) -> bool:
        try:
            return bool(self.client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success)
        except httpx.HTTPError:
            return False
