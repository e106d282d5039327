"""The host's end: Flower's SuperNode, with the host's phones in the same process.

The SuperNode itself runs in the main thread, as `flower-supernode` does: it connects, proves who
it is, sends heartbeats, and fetches messages. A second thread acquires the task of every message
from it over the loopback interface and has the host's desk answer.
"""

from __future__ import annotations

import logging
import secrets
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import NoReturn

import httpx
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.supercore.constant import TaskType
from flwr.supercore.exit import add_exit_handler
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message

from toolkit.federation.flower_message import content_of, reply_message
from toolkit.federation.flower_task import AcquiredTask, RuntimeApi, TaskAcquirer
from toolkit.federation.host_desk import HostDesk, OpenFleet
from toolkit.federation.link_folder import HostFolder
from toolkit.protocol.binary import MalformedMessageError

_log = logging.getLogger(__name__)
_POLL_S = 0.2


def run_supernode(path: Path, open_fleet: OpenFleet) -> NoReturn:
    """Connects this host to its SuperLink and serves until a signal ends it.

    Must be called in the main thread; ends with SystemExit.

    Args:
        path: the host's folder, as `fwdllm superlink init` made it.
        open_fleet: makes the host's clients for a training run.

    Raises:
        ContractError: the folder holds no host's description.
    """
    from flwr.supernode.cli import flower_supernode

    folder = HostFolder(path)
    description = folder.description()
    port, secret = _free_port(), secrets.token_bytes(32)
    with tempfile.NamedTemporaryFile() as secret_file:  # mode 600
        secret_file.write(secret)
        secret_file.flush()
        worker = _Worker(RuntimeApi(f"127.0.0.1:{port}", None, secret), HostDesk(open_fleet))
        worker.start()
        add_exit_handler(worker.stop)
        sys.argv = [
            "flower-supernode",
            *("--superlink", description.address),
            *("--root-certificates", str(folder.ca)),
            *("--auth-supernode-private-key", str(folder.key)),
            *("--isolation", "process"),
            *("--superexec-auth-secret-file", secret_file.name),
            *("--host", "127.0.0.1", "--port", str(port)),
        ]
        flower_supernode()
    raise SystemExit(1)  # it returns where the SuperLink ended the connection for good


class _Worker(threading.Thread):
    """Does the SuperNode's tasks, one after the other."""

    def __init__(self, api: RuntimeApi, desk: HostDesk) -> None:
        super().__init__(name="host desk", daemon=True)
        self._api = api
        self._desk = desk
        self._stopping = threading.Event()

    def run(self) -> None:
        with self._desk, self._api.acquirer(TaskType.CLIENT_APP) as acquirer:
            while not self._stopping.wait(_POLL_S):
                try:
                    self._step(acquirer)
                except httpx.ConnectError:
                    continue  # the SuperNode has not started yet, or is ending
                except Exception:
                    _log.exception("a message could not be answered")

    def stop(self) -> None:
        """Lets go of the phones; one that is at work is not waited for."""
        self._stopping.set()
        self.join(timeout=1.0)

    def _step(self, acquirer: TaskAcquirer) -> None:
        task = acquirer.acquire()
        if task is not None:
            with task.doing():
                self._answer(task)

    def _answer(self, task: AcquiredTask) -> None:
        message, context, _, _ = pull_task_input(task.client)
        try:
            reply = reply_message(self._desk.respond(content_of(message)), message)
        except MalformedMessageError as error:
            _log.warning("refused a message of the server: %s", error.message)
            reply = _error(message, f"refused a malformed message: {error.message}")
        except Exception as error:
            # Flower's SuperNode waits for this reply for ever, whatever went wrong.
            _log.exception("a message could not be answered")
            reply = _error(message, f"{type(error).__name__}: {error}")
        push_message(task.client, reply, context)


def _error(message: Message, reason: str) -> Message:
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
