"""The folders of a SuperLink and of its hosts: addresses, certificates and keys.

    FOLDER/superlink.json       address and hosts
    FOLDER/ca.pem, ca.key       the certificate authority, made for this SuperLink alone
    FOLDER/server.pem, .key     the server's certificate, for the address that hosts connect to
    FOLDER/secret               what the server's own processes know each other by
    FOLDER/running.json         while it runs: where the server's own processes reach it
    FOLDER/hosts/NAME/          to be copied to the host: host.json, ca.pem, host.key

Private keys are written for their owner's eyes only (mode 600) and never printed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import Field

from exporters.contract import Contract, Part
from toolkit.errors import TrainingError

HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_VALID_DAYS = 3650


class RegisteredHost(Part):
    """`public_key`: PEM, by which the SuperLink knows the host."""

    name: HostName
    public_key: str


class SuperLinkDescription(Contract):
    """superlink.json."""

    word: ClassVar[str] = "description of the SuperLink"

    address: str  # HOST:PORT that the hosts connect to
    listen: str  # the address of this machine that it listens on
    hosts: tuple[RegisteredHost, ...]


class RunningSuperLink(Contract):
    """running.json."""

    word: ClassVar[str] = "address of the running SuperLink"

    pid: int
    admin_port: int  # on the loopback interface
    port: int  # that hosts connect to


class HostDescription(Contract):
    """host.json."""

    word: ClassVar[str] = "description of the host"

    name: HostName
    address: str


class LinkFolder:
    """Reads the folder of a SuperLink."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca = path / "ca.pem"
        self.certificate = path / "server.pem"
        self.key = path / "server.key"
        self.running_file = path / "running.json"
        self.lock = path / "train.lock"

    def description(self) -> SuperLinkDescription:
        """
        Raises:
            ContractError: there is none, or it is damaged.
        """
        return SuperLinkDescription.read(self.path / "superlink.json")

    def running(self) -> RunningSuperLink:
        """
        Raises:
            TrainingError: it does not run.
        """
        if not self.running_file.exists():
            raise TrainingError(
                "the SuperLink of this folder does not run",
                remedy=f"start it with `fwdllm superlink start {self.path}`",
                file=self.path,
            )
        return RunningSuperLink.read(self.running_file)

    def secret(self) -> str:
        """
        Raises:
            TrainingError: it cannot be read.
        """
        return read_private(self.path / "secret").decode()


class HostFolder:
    """Reads the folder of a host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca = path / "ca.pem"
        self.key = path / "host.key"

    def description(self) -> HostDescription:
        """
        Raises:
            ContractError: there is none, or it is damaged.
        """
        return HostDescription.read(self.path / "host.json")


def read_private(path: Path) -> bytes:
    """
    Raises:
        TrainingError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingError(
            f"cannot read a secret of the SuperLink: {error.strerror}", file=path
        ) from error


def create_link_folder(
    path: Path, *, address: str, listen: str = "0.0.0.0", hosts: Sequence[str]
) -> SuperLinkDescription:
    """Fills a folder for a SuperLink that hosts reach at `address`, HOST:PORT.

    Raises:
        TrainingError: the folder holds a SuperLink, the address has no port, or two hosts have
            the same name.
        ValidationError: a host's name has characters that a folder's should not.
    """
    name, _, port = address.rpartition(":")
    if not name or not port.isdigit() or int(port) > 65_535:
        raise TrainingError(f"{address!r} is not HOST:PORT", remedy="give --address HOST:PORT")
    if len(set(hosts)) != len(hosts) or not hosts:
        raise TrainingError(
            "every host needs a name of its own", remedy="repeat --host NAME, once for each"
        )
    if (path / "superlink.json").exists():
        raise TrainingError(
            "the folder holds a SuperLink already",
            remedy="give another folder; new keys would lock its hosts out",
            file=path,
        )
    keys = {host: ec.generate_private_key(ec.SECP384R1()) for host in hosts}
    description = SuperLinkDescription(
        address=address,
        listen=listen,
        hosts=tuple(
            RegisteredHost(name=host, public_key=_public_pem(key)) for host, key in keys.items()
        ),
    )
    folder = LinkFolder(path)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server_certificate(name.strip("[]"), server_key, authority, authority_key)
    ca_pem = authority.public_bytes(serialization.Encoding.PEM)
    folder.ca.write_bytes(ca_pem)
    folder.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    _write_private(path / "ca.key", _private_pem(authority_key))
    _write_private(folder.key, _private_pem(server_key))
    _write_private(path / "secret", secrets.token_hex(32).encode())
    for host, key in keys.items():
        own = HostFolder(path / "hosts" / host)
        own.path.mkdir(parents=True, mode=0o700)
        own.ca.write_bytes(ca_pem)
        _write_private(own.key, _ssh_private(key))
        HostDescription(name=host, address=address).write(own.path / "host.json")
    description.write(path / "superlink.json")  # last: a folder without it is no SuperLink's
    return description


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fwdllm SuperLink authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    host: str,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """For the hosts' address and for the server's own processes."""
    names = [_general_name(each) for each in dict.fromkeys([host, "127.0.0.1", "localhost"])]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fwdllm SuperLink")])
    return (
        _certificate(subject, authority.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
            raise TrainingError(f"{host!r} is neither an IP address nor a host's name") from None
        return x509.DNSName(host)


def _public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _ssh_private(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The form that Flower's SuperNode reads."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def _write_private(path: Path, content: bytes) -> None:
    # Private from the start: chmod after writing would leave a moment for others.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
