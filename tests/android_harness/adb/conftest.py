"""Fixtures of the ADB tests: the adb program, and phones behind a server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from android_harness.fake_phone import FakePhone
from tests.android_harness.adb.adb_program import AdbProgram
from tests.android_harness.adb.fake_adb_server import FakeAdbServer


@pytest.fixture(scope="session")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbProgram]:
    program = shutil.which("adb")
    if program is None:
        pytest.skip("no adb program on this machine")
    with AdbProgram(program, tmp_path_factory.mktemp("adb-home")) as adb:
        yield adb


@dataclass(frozen=True)
class ServedPhone:
    """A fake phone that an adb server knows, and the environment leads to."""

    phone: FakePhone
    serial: str
    unplug: Callable[[], None]

    @property
    def target(self) -> str:
        return f"adb:{self.serial}"


@pytest.fixture
def server_port(monkeypatch: pytest.MonkeyPatch, private_home: None) -> Callable[[int], None]:
    """Makes a port the one at which an adb server is looked for."""

    def use(port: int) -> None:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{port}")

    return use


@pytest.fixture(params=["fake server", "adb"])
def served(
    request: pytest.FixtureRequest, server_port: Callable[[int], None]
) -> Iterator[ServedPhone]:
    """The same tests hold for the fake server and for the adb program's."""
    with FakePhone(accept_new_keys=True) as phone:
        if request.param == "fake server":
            with FakeAdbServer() as server:
                server.plug_in("PHONE", phone)
                server_port(server.port)
                yield ServedPhone(phone, "PHONE", lambda: server.unplug("PHONE"))
                phone.switch_off()
            return
        adb: AdbProgram = request.getfixturevalue("adb")
        serial = f"127.0.0.1:{phone.port}"
        adb.connect(serial)
        server_port(adb.port)
        yield ServedPhone(phone, serial, phone.switch_off)
        adb("disconnect", serial)
