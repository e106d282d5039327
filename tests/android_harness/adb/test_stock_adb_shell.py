"""The faults of adb-shell 0.4.4 that the subclasses mend, shown on both side by side."""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from adb_shell.adb_device import AdbDeviceTcp
from adb_shell.exceptions import (
    AdbTimeoutError,
    DeviceAuthError,
    InvalidCommandError,
    TcpTimeoutException,
)
from adb_shell.transport.tcp_transport import TcpTransport

from android_harness.adb.keys import load_keys
from android_harness.adb.tcp_transport import WholeTcpTransport
from android_harness.errors import (
    DeviceGoneError,
    DeviceTimeoutError,
    NoSpaceError,
    ServiceRefusedError,
    UnauthorizedError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.targets.adb_target import AdbTarget
from android_harness.targets.reach import open_tcp_target
from tests.android_harness.adb.counting_relay import CountingRelay
from tests.android_harness.waiting import HASTY, PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

TIMED_OUT = (AdbTimeoutError, TcpTimeoutException)
OKAY_BYTES = 24  # the length of a packet without a payload, and of the header of one with
WAIT = {"transport_timeout_s": 0.5, "read_timeout_s": 0.5}


@pytest.fixture
def stock(phone: FakePhone) -> Iterator[AdbDeviceTcp]:
    device = AdbDeviceTcp("127.0.0.1", phone.port)
    device.connect(rsa_keys=load_keys(), transport_timeout_s=5, auth_timeout_s=5)
    yield device
    device.close()


@pytest.fixture
def mended(phone: FakePhone) -> Iterator[AdbTarget]:
    with open_tcp_target("127.0.0.1", phone.port, timeouts=PATIENT) as target:
        yield target


def test_both_agree_with_a_healthy_phone(
    stock: AdbDeviceTcp, mended: AdbTarget, tmp_path: Path
) -> None:
    local = tmp_path / "file"
    local.write_bytes(os.urandom(300_000))
    remote = mended.workspace / "file"

    stock.push(str(local), str(remote))
    mended.pull(remote, tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    assert stock.shell("echo it speaks") == "it speaks\n"
    assert [entry.filename for entry in stock.list(str(mended.workspace))] == [b"file"]


def test_no_space_in_the_middle_of_a_push(
    phone: FakePhone, stock: AdbDeviceTcp, mended: AdbTarget, tmp_path: Path
) -> None:
    local = tmp_path / "file"
    local.write_bytes(bytes(4 << 20))
    phone.faults = Faults(fail_push_after_bytes=100_000, silent_after_fail=True)

    with pytest.raises(TIMED_OUT):
        stock.push(str(local), str(mended.workspace / "file"), **WAIT)
    with pytest.raises(NoSpaceError):
        mended.push(local, mended.workspace / "file")


def test_the_end_of_the_connection(
    phone: FakePhone, stock: AdbDeviceTcp, mended: AdbTarget
) -> None:
    phone.faults = Faults(vanish_at_exit=True)

    with pytest.raises(AdbTimeoutError):
        stock.shell("true", **WAIT)
    with pytest.raises(DeviceGoneError):
        mended.run(["true"])


def test_a_refused_open(phone: FakePhone, stock: AdbDeviceTcp, mended: AdbTarget) -> None:
    phone.faults = Faults(refuse_service="sh")

    with pytest.raises(TIMED_OUT):
        stock.shell("true", **WAIT)
    with pytest.raises(ServiceRefusedError):
        mended.run(["true"])


def test_the_size_of_a_file_above_4_gib(
    phone: FakePhone, stock: AdbDeviceTcp, mended: AdbTarget
) -> None:
    big = phone.root.resolve(str(mended.workspace / "big"))
    big.parent.mkdir(parents=True)
    big.touch()
    os.truncate(big, 5 << 30)  # sparse: takes no space

    assert stock.stat(str(mended.workspace / "big"))[1] == 1 << 30
    found = mended.stat(mended.workspace / "big")
    assert found is not None
    assert found.size == 5 << 30
    assert mended.stat(mended.workspace / "absent") is None


@pytest.mark.parametrize("kind", [TcpTransport, WholeTcpTransport])
def test_a_write_larger_than_the_kernel_takes_at_once(kind: type[TcpTransport]) -> None:
    data = bytes(4 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        transport = kind("127.0.0.1", server.getsockname()[1])
        transport.connect(5)
        # As over Ethernet; loopback's large segments and buffers hide the fault.
        transport._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer, _ = server.accept()
        arrived = pool.submit(_received_bytes, peer)
        transport.bulk_write(data, 5)
        transport.close()

        if kind is WholeTcpTransport:
            assert arrived.result() == len(data)
        else:
            assert arrived.result() < len(data)


def test_small_messages_are_sent_at_once(
    phone: FakePhone, stock: AdbDeviceTcp, mended: AdbTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[WholeTcpTransport] = []
    connect = WholeTcpTransport.connect
    monkeypatch.setattr(
        WholeTcpTransport,
        "connect",
        lambda self, timeout_s: (opened.append(self), connect(self, timeout_s)),
    )
    phone.drop_connections()
    mended.wait_for(timeout_s=10)

    assert not _no_delay(stock._io_manager._transport)
    assert _no_delay(opened[-1])


def test_a_second_command_while_one_waits(
    phone: FakePhone, stock: AdbDeviceTcp, mended: AdbTarget
) -> None:
    # The first looks for a while whether the second has run.
    folder = phone.root.resolve("/data/local/tmp")
    look = (
        "touch waits; for i in $(seq 30); do [ ! -e flag ] || break; sleep 0.05; done; "
        "[ -e flag ] && echo together >verdict || echo alone >verdict"
    )

    def verdict(name: str, run: Callable[[str], object]) -> str:
        (folder / name).mkdir()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(run, f"cd {folder / name} && {look}")
            while not (folder / name / "waits").exists():
                time.sleep(0.02)
            time.sleep(0.2)  # by now the first waits for a reply
            second = pool.submit(run, f"touch {folder / name / 'flag'}")
            for ended in (first, second):
                with suppress(*TIMED_OUT):  # stock: when one takes the other's packet
                    ended.result()
        return (folder / name / "verdict").read_text().strip()

    timeouts = {"transport_timeout_s": 5, "read_timeout_s": 5}
    assert verdict("stock", lambda command: stock.shell(command, **timeouts)) == "alone"
    assert verdict("mended", lambda command: mended.check(["sh", "-c", command])) == "together"


def test_the_rest_of_a_packet_whose_reader_gave_up(phone: FakePhone) -> None:
    command = ["head", "-c", "1000", "/dev/zero"]
    with CountingRelay(phone.port) as relay:
        stock = AdbDeviceTcp("127.0.0.1", relay.port)
        stock.connect(rsa_keys=load_keys(), transport_timeout_s=5, auth_timeout_s=5)
        relay.hold_at = relay.to_client + OKAY_BYTES + OKAY_BYTES + 100
        with pytest.raises(TIMED_OUT):
            stock.shell(shlex.join(command), **WAIT)
        relay.release()
        with pytest.raises((InvalidCommandError, *TIMED_OUT)):
            stock.shell("echo next", **WAIT)
        stock.close()

    with (
        CountingRelay(phone.port) as relay,
        open_tcp_target("127.0.0.1", relay.port, timeouts=PATIENT) as mended,
    ):
        relay.hold_at = relay.to_client + OKAY_BYTES + OKAY_BYTES + 100
        with pytest.raises(DeviceTimeoutError):
            mended.run(command, timeout_s=0.5)
        relay.release()
        assert mended.run(["echo", "next"]).stdout == b"next\n"


@pytest.mark.parametrize("with_keys", [False, True])
def test_a_phone_that_does_not_trust_the_host(with_keys: bool) -> None:
    with FakePhone(faults=Faults(never_authorize=True)) as phone:
        stock = AdbDeviceTcp("127.0.0.1", phone.port)
        # Without a key it says what is wrong; with one it is a silent phone to it.
        with pytest.raises(TIMED_OUT if with_keys else DeviceAuthError):
            stock.connect(
                rsa_keys=load_keys() * with_keys, transport_timeout_s=1, auth_timeout_s=0.5
            )
        stock.close()
        with pytest.raises(UnauthorizedError):
            open_tcp_target("127.0.0.1", phone.port, timeouts=HASTY)


def _no_delay(transport: TcpTransport) -> bool:
    return bool(transport._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def _received_bytes(peer: socket.socket) -> int:
    with peer:
        return sum(iter(lambda: len(peer.recv(1 << 16)), 0))
