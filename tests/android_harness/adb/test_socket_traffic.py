"""What a target says of its traffic, against a relay on the way that counts for itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from android_harness.fake_phone import FakePhone
from android_harness.target import SocketTraffic, Target
from android_harness.targets.open_target import open_target
from tests.android_harness.adb.counting_relay import CountingRelay
from tests.android_harness.waiting import PATIENT

pytestmark = pytest.mark.usefixtures("private_home")


@pytest.fixture
def relay(phone: FakePhone) -> Iterator[CountingRelay]:
    with CountingRelay(phone.port) as relay:
        yield relay


@pytest.fixture
def relayed(relay: CountingRelay) -> Iterator[Target]:
    with open_target(f"adb-tcp:127.0.0.1:{relay.port}", timeouts=PATIENT) as target:
        yield target


def settled(relay: CountingRelay) -> SocketTraffic:
    """What the relay saw once nothing has moved for a while."""
    for _ in range(100):
        before = SocketTraffic(relay.from_client, relay.to_client)
        time.sleep(0.1)
        if before == SocketTraffic(relay.from_client, relay.to_client):
            return before
    raise AssertionError("the line never fell silent")


def test_every_byte_is_counted_once(relayed: Target, relay: CountingRelay, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_bytes(bytes(3_000_001))
    assert relayed.traffic() == settled(relay)  # the handshake

    relayed.push(local, relayed.workspace / "file")
    after_push = relayed.traffic()
    assert after_push is not None
    assert after_push == settled(relay)
    assert after_push.sent > 3_000_001

    relayed.pull(relayed.workspace / "file", local)
    relayed.run(["echo", "said"])
    last = relayed.traffic()
    assert last is not None
    assert last == settled(relay)
    assert last.received - after_push.received > 3_000_001


def test_connections_at_once_and_after_each_other_add_up(
    relayed: Target, relay: CountingRelay, phone: FakePhone
) -> None:
    with ThreadPoolExecutor(4) as pool:
        commands = [["sh", "-c", f"sleep 0.2; head -c {size} /dev/zero"] for size in (1, 999, 7777)]
        sizes = [len(result.stdout) for result in pool.map(relayed.run, commands)]
    assert sizes == [1, 999, 7777]
    assert relay.connections > 1
    first = relayed.traffic()
    assert first == settled(relay)

    opened = relay.connections
    phone.drop_connections()
    settled(relay)
    relayed.run(["echo", "again"])

    assert relay.connections > opened
    last = relayed.traffic()
    assert first is not None and last is not None
    assert last == settled(relay)
    assert last.sent > first.sent and last.received > first.received


def test_a_closed_target_still_tells(relayed: Target, relay: CountingRelay) -> None:
    relayed.run(["echo", "said"])
    before = relayed.traffic()
    relayed.close()
    assert relayed.traffic() == before == settled(relay)


def test_this_machine_has_no_socket_to_count_at() -> None:
    with open_target("local") as target:
        target.run(["true"])
        assert target.traffic() is None
