"""Certificates and keys of a SuperLink."""

from __future__ import annotations

import asyncio
import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)
from pydantic import ValidationError
from typer.testing import CliRunner

from toolkit.cli.superlink import app
from toolkit.errors import TrainingError
from toolkit.federation.link_folder import HostFolder, LinkFolder, create_link_folder


async def _connects(server: LinkFolder, ca: Path, name: str) -> bool:
    """Whether a client that trusts `ca` alone accepts the server under this name."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(server.certificate, server.key)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=own)
    port = listening.sockets[0].getsockname()[1]
    theirs = ssl.create_default_context(cafile=str(ca))
    theirs.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=theirs, server_hostname=name
        )
        assert await reader.read() == b"hello"
        writer.close()
    except ssl.SSLCertVerificationError:
        return False
    finally:
        listening.close()
    return True


def test_hosts_trust_the_server_and_nobody_else(tmp_path: Path) -> None:
    create_link_folder(tmp_path / "one", address="lab.example.org:9443", hosts=["desk"])
    create_link_folder(tmp_path / "two", address="lab.example.org:9443", hosts=["desk"])
    one, two = LinkFolder(tmp_path / "one"), LinkFolder(tmp_path / "two")
    host = HostFolder(one.path / "hosts" / "desk")
    assert asyncio.run(_connects(one, host.ca, "lab.example.org"))
    assert asyncio.run(_connects(one, one.ca, "127.0.0.1"))
    assert not asyncio.run(_connects(one, host.ca, "elsewhere.example.org"))
    assert not asyncio.run(_connects(two, host.ca, "lab.example.org"))


@pytest.mark.parametrize("address", ["10.0.0.5:9443", "[2001:db8::1]:9443"])
def test_the_server_may_be_known_by_its_ip_address(tmp_path: Path, address: str) -> None:
    create_link_folder(tmp_path / "link", address=address, hosts=["desk"])
    folder = LinkFolder(tmp_path / "link")
    name = address.rpartition(":")[0].strip("[]")
    assert asyncio.run(_connects(folder, folder.ca, name))


def test_a_hosts_key_is_the_one_that_the_server_knows(tmp_path: Path) -> None:
    description = create_link_folder(tmp_path / "link", address="a:1", hosts=["desk", "shelf"])
    assert LinkFolder(tmp_path / "link").description() == description
    known = {}
    for host in description.hosts:
        folder = HostFolder(tmp_path / "link" / "hosts" / host.name)
        assert folder.description().name == host.name
        assert folder.description().address == "a:1"
        key = load_ssh_private_key(folder.key.read_bytes(), None)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        assert public.decode() == host.public_key
        known[host.public_key] = host.name
    assert len(known) == 2


def test_secrets_are_for_their_owner_and_are_never_printed(tmp_path: Path) -> None:
    folder = tmp_path / "link"
    arguments = ["init", str(folder), "--address", "a:1", "--host", "desk", "--host", "shelf"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    private = [*folder.rglob("*.key"), folder / "secret"]
    assert len(private) == 5
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for line in path.read_text().splitlines():
            assert line not in result.output
    for path in set(folder.rglob("*")) - set(private):
        if path.is_file():
            assert "PRIVATE" not in path.read_text()
    # What is copied to a host holds nothing of the others, nor of the server's.
    assert {path.name for path in (folder / "hosts" / "desk").iterdir()} == {
        "host.json",
        "ca.pem",
        "host.key",
    }


def test_an_existing_superlink_is_left_alone(tmp_path: Path) -> None:
    create_link_folder(tmp_path / "link", address="a:1", hosts=["desk"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match="holds a SuperLink"):
        create_link_folder(tmp_path / "link", address="a:1", hosts=["desk"])
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:http", "host:70000"])
def test_an_address_without_a_port_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(TrainingError, match="HOST:PORT"):
        create_link_folder(tmp_path / "link", address=address, hosts=["desk"])


@pytest.mark.parametrize("hosts", [[], ["desk", "desk"]])
def test_hosts_need_names_of_their_own(tmp_path: Path, hosts: list[str]) -> None:
    with pytest.raises(TrainingError, match="name of its own"):
        create_link_folder(tmp_path / "link", address="a:1", hosts=hosts)


@pytest.mark.parametrize("host", ["../desk", "", "a/b", ".hidden", "a b"])
def test_names_that_are_no_folder_names_are_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValidationError):
        create_link_folder(tmp_path / "link", address="a:1", hosts=[host])
    assert not (tmp_path / "link").exists()


def test_a_superlink_that_does_not_run_says_so(tmp_path: Path) -> None:
    create_link_folder(tmp_path / "link", address="a:1", hosts=["desk"])
    with pytest.raises(TrainingError, match="does not run"):
        LinkFolder(tmp_path / "link").running()
