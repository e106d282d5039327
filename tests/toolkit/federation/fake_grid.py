"""A Grid over hosts of this process, which fail on command."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from flwr.app import Error, Message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity

from toolkit.clients.threads import ThreadFleet
from toolkit.federation.flower_message import content_of, reply_message
from toolkit.federation.host_desk import HostDesk
from toolkit.protocol.fleet import Client


@dataclasses.dataclass
class FakeHost:
    """`mangle` changes its responses; `silent` holds its messages back until it is False."""

    name: str
    clients: Callable[[], list[Client]]
    online: bool = True
    silent: bool = False
    error: str = ""
    mangle: Callable[[bytes], bytes] = lambda content: content
    settings: list[str] = dataclasses.field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new process: what it knew is gone."""

        def open_fleet(settings: str) -> ThreadFleet:
            self.settings.append(settings)
            return ThreadFleet(self.clients())

        self.desk = HostDesk(open_fleet)

    def reply(self, message: Message) -> Message:
        self.requests += 1
        if self.error:
            return Message(Error(code=2, reason=self.error), reply_to=message)
        return reply_message(self.mangle(self.desk.respond(content_of(message))), message)


class FakeGrid:
    """Messages are answered when replies are pulled; `down` and `ended` fail every call."""

    def __init__(self, *hosts: FakeHost) -> None:
        self.hosts = dict(enumerate(hosts, start=1))
        self.down = self.ended = False
        self._numbers = itertools.count()
        self._messages: dict[str, Message] = {}

    def get_nodes(self) -> list[Any]:
        self._check()
        return [
            SimpleNamespace(
                node_id=node, name=host.name, status="online" if host.online else "offline"
            )
            for node, host in self.hosts.items()
        ]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self._check()
        ids = []
        for message in messages:
            ids.append(f"message-{next(self._numbers)}")
            message.metadata.__dict__["_message_id"] = ids[-1]
            self._messages[ids[-1]] = message
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self._check()
        replies = []
        for message_id in message_ids:
            host = self.hosts[self._messages[message_id].metadata.dst_node_id]
            if host.online and not host.silent:
                replies.append(host.reply(self._messages.pop(message_id)))
        return replies

    def _check(self) -> None:
        if self.down:
            raise httpx.ConnectError("the SuperLink is gone")
        if self.ended:
            raise RunNotRunningException


def identify(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower stamps messages with the task that its process does."""
    for name, value in (("_task_id", 1), ("_run_id", 2), ("_node_id", SUPERLINK_NODE_ID)):
        monkeypatch.setattr(TaskIdentity, name, value, raising=False)
