"""What travels in one Flower message: the orders of all clients of a host, or their outcomes.

A host's SuperNode works on one message at a time, and every message costs several HTTP requests
of about a kilobyte each; so there is one message per host, and not one per phone. A host answers
when all its phones have, or after `patience_s` with what there is; the server then asks again, so
that one slow phone holds up the others of its host for that long only.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.protocol.binary import MalformedMessageError, Reader, Writer


@dataclass(frozen=True)
class Open:
    """The host shall open its clients for a session; sent again until it has.

    `settings` is what the host needs to make them, in words of whoever makes them; `run_seed`
    names the streams that directions come from.
    """

    session: int
    settings: str
    run_seed: int
    patience_s: float


@dataclass(frozen=True)
class Parcel:
    """One client's encoded order or outcome."""

    client: str
    round_number: int
    increment: int
    content: bytes


@dataclass(frozen=True)
class Work:
    """Orders for idle or busy clients; none: the host shall report what has come in since."""

    session: int
    patience_s: float
    orders: tuple[Parcel, ...]


@dataclass(frozen=True)
class Opened:
    """The host's clients, with the examples of each."""

    clients: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Opening:
    """The host is at it: a bundle may still be on its way to a phone."""


@dataclass(frozen=True)
class NotOpened:
    """The host could not open its clients, or does not know the session."""

    reason: str


@dataclass(frozen=True)
class Done:
    """The outcomes since the last message, and the orders under way: their parcels are empty."""

    outcomes: tuple[Parcel, ...]
    under_way: tuple[Parcel, ...]


Request = Open | Work
Response = Opened | Opening | NotOpened | Done

_OPEN, _WORK = range(2)
_OPENED, _OPENING, _NOT_OPENED, _DONE = range(4)


def encode_request(request: Request) -> bytes:
    writer = Writer()
    if isinstance(request, Open):
        writer.pack("BQfQ", _OPEN, request.session, request.patience_s, request.run_seed)
        writer.data(request.settings.encode())
    else:
        writer.pack("BQf", _WORK, request.session, request.patience_s)
        _write_parcels(writer, request.orders)
    return writer.bytes()


def decode_request(message: bytes) -> Request:
    """
    Raises:
        MalformedMessageError: these bytes are not a request.
    """
    reader = Reader(message)
    kind, session, patience_s = reader.unpack("BQf")
    request: Request
    if kind == _OPEN:
        (run_seed,) = reader.unpack("Q")
        try:
            settings = reader.data().decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedMessageError("the settings are not UTF-8") from error
        request = Open(session, settings, run_seed, patience_s)
    elif kind == _WORK:
        request = Work(session, patience_s, _read_parcels(reader))
    else:
        raise MalformedMessageError(f"a request of an unknown kind {kind}")
    reader.end()
    return request


def encode_response(response: Response) -> bytes:
    writer = Writer()
    if isinstance(response, Opened):
        writer.pack("BI", _OPENED, len(response.clients))
        for name, examples in response.clients:
            writer.text(name)
            writer.pack("I", examples)
    elif isinstance(response, Opening):
        writer.pack("B", _OPENING)
    elif isinstance(response, NotOpened):
        writer.pack("B", _NOT_OPENED)
        writer.text(response.reason, 2000)
    else:
        writer.pack("B", _DONE)
        _write_parcels(writer, response.outcomes)
        _write_parcels(writer, response.under_way)
    return writer.bytes()


def decode_response(message: bytes) -> Response:
    """
    Raises:
        MalformedMessageError: these bytes are not a response.
    """
    reader = Reader(message)
    (kind,) = reader.unpack("B")
    response: Response
    if kind == _OPENED:
        (count,) = reader.unpack("I")
        response = Opened(tuple((reader.text(), reader.unpack("I")[0]) for _ in range(count)))
    elif kind == _OPENING:
        response = Opening()
    elif kind == _NOT_OPENED:
        response = NotOpened(reader.text())
    elif kind == _DONE:
        response = Done(_read_parcels(reader), _read_parcels(reader))
    else:
        raise MalformedMessageError(f"a response of an unknown kind {kind}")
    reader.end()
    return response


def _write_parcels(writer: Writer, parcels: tuple[Parcel, ...]) -> None:
    writer.pack("I", len(parcels))
    for parcel in parcels:
        writer.text(parcel.client)
        writer.pack("IH", parcel.round_number, parcel.increment)
        writer.data(parcel.content)


def _read_parcels(reader: Reader) -> tuple[Parcel, ...]:
    (count,) = reader.unpack("I")
    return tuple(_read_parcel(reader) for _ in range(count))


def _read_parcel(reader: Reader) -> Parcel:
    client = reader.text()
    round_number, increment = reader.unpack("IH")
    return Parcel(client, round_number, increment, reader.data())
