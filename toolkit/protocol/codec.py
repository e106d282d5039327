"""Orders, answers and failures as compact bytes.

A message is `FW`, the version of this format, its kind, and its fields, little-endian and packed.
Every slope takes 4 bytes; a fingerprint travels as its 32 bytes. Directions are named by where
they stand in the run's streams of seeds (`direction_names.py`), so that an update that applies
the probes of a round in their order costs 4 bytes a probe, its coefficient.

Coefficients, slopes and values are float32 on the wire, as they are in all arithmetic on them.
Slopes may be any float32: whether to believe an answer is for its receiver to decide. Every number
of an order must be finite.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from android_harness.job import Estimator
from exporters.lora.combination import Combination
from exporters.lora.directions import Distribution
from exporters.lora.support import Support
from toolkit.protocol.binary import MalformedMessageError, Reader, Writer
from toolkit.protocol.direction_names import NameReader, write_names
from toolkit.protocol.order import Along, Answer, CatchUp, Failure, Order, Probes, Snapshot
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import Overwrite, ReplicaState, RoundUpdate, Values

_MAGIC = b"FW"
_VERSION = 1
_ORDER, _ANSWER, _FAILURE, _REPLICA = range(4)
_KINDS = ("an order", "an answer", "a failure", "a replica")
# Positions in these tuples are on the wire: append only.
_ESTIMATORS: tuple[Estimator, ...] = ("central", "forward", "tangent")
_DISTRIBUTIONS: tuple[Distribution, ...] = ("rademacher", "gaussian")
_VALUES_FROM = ("held", "updates", "snapshot")
_REASON_BYTES = 2000


def encode_order(order: Order, book: SeedBook) -> bytes:
    """
    Args:
        book: with the streams noted that the order's directions come from; directions of other
            streams travel as seeds.

    Raises:
        ValueError: a number does not fit its field, or a fingerprint is no SHA-256.
    """
    writer = _begin(_ORDER)
    writer.pack("IHI", order.round_number, order.increment, order.version)
    writer.raw(_fingerprint_bytes(order.values_sha256))
    writer.pack("Bd", _ESTIMATORS.index(order.estimator), order.epsilon)
    parts = (
        isinstance(order.sync, Snapshot),
        order.probes is not None,
        order.along is not None,
        order.exact_head,
    )
    writer.pack("B", _flags(*parts))
    writer.indices(np.array(order.batch, dtype=np.int64))
    if isinstance(order.sync, Snapshot):
        _write_state(writer, order.sync.state)
    else:
        writer.pack("II", order.sync.since, len(order.sync.updates))
        for update in order.sync.updates:
            _write_update(writer, update, book)
    if order.probes is not None:
        probes = order.probes
        writer.pack("BH", _DISTRIBUTIONS.index(probes.distribution), probes.directions_per_pass)
        _write_support(writer, probes.support)
        write_names(writer, probes.directions, book)
    if order.along is not None:
        writer.pack("d", order.along.keep)
        _write_combinations(writer, order.along.combinations, book)
    return writer.bytes()


def decode_order(message: bytes, book: SeedBook) -> Order:
    """
    Raises:
        MalformedMessageError: these bytes are not an order.
    """
    try:
        return _decode_order(message, book)
    except ValidationError as error:  # of a part that is a pydantic model
        raise MalformedMessageError(f"it holds {error.errors()[0]['msg']}") from error


def _decode_order(message: bytes, book: SeedBook) -> Order:
    reader = _reader(message, _ORDER)
    names = NameReader(book)
    round_number, increment, version = reader.unpack("IHI")
    fingerprint = reader.raw(32).hex()
    estimator = reader.choice(_ESTIMATORS)
    if estimator not in get_args(Estimator):
        raise MalformedMessageError(f"this version does not know the estimator {estimator}")
    (epsilon,) = reader.unpack("d")
    if epsilon <= 0:
        raise MalformedMessageError(f"epsilon is {epsilon}")
    snapshot, has_probes, has_along, exact_head = reader.flags(4)
    batch = tuple(int(line) for line in reader.indices())
    sync: CatchUp | Snapshot
    if snapshot:
        sync = Snapshot(_read_state(reader))
    else:
        since, count = reader.unpack("II")
        sync = CatchUp(since, tuple(_read_update(reader, names) for _ in range(count)))
        if since + count != version:
            raise MalformedMessageError(f"{count} updates lead from {since}, not to {version}")
    probes = _read_probes(reader, names) if has_probes else None
    along = None
    if has_along:
        (keep,) = reader.unpack("d")
        along = Along(keep, _read_combinations(reader, names))
    reader.end()
    return Order(
        round_number=round_number,
        increment=increment,
        version=version,
        sync=sync,
        values_sha256=fingerprint,
        batch=batch,
        estimator=estimator,
        epsilon=epsilon,
        probes=probes,
        along=along,
        exact_head=exact_head,
    )


def encode_outcome(outcome: Answer | Failure) -> bytes:
    """
    Raises:
        ValueError: a number does not fit its field, or a fingerprint is no SHA-256.
    """
    if isinstance(outcome, Failure):
        writer = _begin(_FAILURE)
        writer.pack("IH?", outcome.round_number, outcome.increment, outcome.stale_replica)
        writer.text(outcome.reason, _REASON_BYTES)
        return writer.bytes()
    writer = _begin(_ANSWER)
    writer.pack("IH", outcome.round_number, outcome.increment)
    writer.raw(_fingerprint_bytes(outcome.values_sha256))
    writer.pack("B", _VALUES_FROM.index(outcome.values_from))
    has_along, has_head = outcome.along_slope is not None, outcome.head_gradient is not None
    writer.pack("B", _flags(has_along, has_head))
    # One vector of all that may be no finite number, so that the receiver judges it in one place.
    along = [] if outcome.along_slope is None else [outcome.along_slope]
    with np.errstate(over="ignore"):
        scalars = np.array([outcome.loss, *along], dtype=np.float32)
    writer.array(scalars, "<f4")
    writer.pack("f", outcome.seconds)
    writer.array(outcome.slopes, "<f4")
    if outcome.head_gradient is not None:
        writer.array(outcome.head_gradient, "<f4")
    return writer.bytes()


def decode_outcome(message: bytes) -> Answer | Failure:
    """
    Raises:
        MalformedMessageError: these bytes are neither an answer nor a failure.
    """
    if len(message) > 3 and message[3] == _FAILURE:
        return _decode_failure(message)
    reader = _reader(message, _ANSWER)
    round_number, increment = reader.unpack("IH")
    fingerprint = reader.raw(32).hex()
    values_from = reader.choice(_VALUES_FROM)
    has_along, has_head = reader.flags(2)
    scalars = reader.array("<f4")
    if len(scalars) != 1 + has_along:
        raise MalformedMessageError(f"{len(scalars)} numbers where {1 + has_along} belong")
    (seconds,) = reader.unpack("f")
    slopes = reader.array("<f4")
    head_gradient = reader.array("<f4") if has_head else None
    reader.end()
    return Answer(
        round_number=round_number,
        increment=increment,
        values_sha256=fingerprint,
        slopes=slopes,
        loss=float(scalars[0]),
        along_slope=float(scalars[1]) if has_along else None,
        head_gradient=head_gradient,
        seconds=seconds,
        values_from=values_from,
    )


def encode_replica(version: int, state: ReplicaState) -> bytes:
    """What a client holds, for a client that moves to another process."""
    writer = _begin(_REPLICA)
    writer.pack("I", version)
    _write_state(writer, state)
    return writer.bytes()


def decode_replica(message: bytes) -> tuple[int, ReplicaState]:
    """
    Raises:
        MalformedMessageError: these bytes are not a replica.
    """
    reader = _reader(message, _REPLICA)
    (version,) = reader.unpack("I")
    state = _read_state(reader)
    reader.end()
    return version, state


def _decode_failure(message: bytes) -> Failure:
    reader = _reader(message, _FAILURE)
    round_number, increment = reader.unpack("IH")
    (stale,) = reader.flags(1)
    reason = reader.text()
    reader.end()
    return Failure(round_number, increment, reason, stale)


def _begin(kind: int) -> Writer:
    writer = Writer()
    writer.raw(_MAGIC)
    writer.pack("BB", _VERSION, kind)
    return writer


def _reader(message: bytes, kind: int) -> Reader:
    reader = Reader(message)
    if reader.raw(2) != _MAGIC:
        raise MalformedMessageError("it does not begin like a message of fwdllm")
    version, found = reader.unpack("BB")
    if version != _VERSION:
        raise MalformedMessageError(
            f"it is of version {version}, this fwdllm reads version {_VERSION}",
            remedy="use the same version of fwdllm on all machines",
        )
    if found != kind:
        name = _KINDS[found] if found < len(_KINDS) else f"of kind {found}"
        raise MalformedMessageError(f"it is {name}, not {_KINDS[kind]}")
    return reader


def _fingerprint_bytes(sha256: str) -> bytes:
    data = bytes.fromhex(sha256)
    if len(data) != 32:
        raise ValueError(f"a SHA-256 has 64 hexadecimal digits, got {sha256!r}")
    return data


def _write_support(writer: Writer, support: Support) -> None:
    writer.pack("B", _flags(support.layers is not None, support.matrices == "B", support.head))
    if support.layers is not None:
        writer.pack("HH", *support.layers)


def _read_support(reader: Reader) -> Support:
    has_layers, only_b, head = reader.flags(3)
    layers = reader.unpack("HH") if has_layers else None
    return Support(layers=layers, matrices="B" if only_b else "AB", head=head)


def _read_probes(reader: Reader, names: NameReader) -> Probes:
    distribution = reader.choice(_DISTRIBUTIONS)
    (directions_per_pass,) = reader.unpack("H")
    if directions_per_pass < 1:
        raise MalformedMessageError("no directions per pass")
    support = _read_support(reader)
    return Probes(names.read(reader), distribution, support, directions_per_pass)


def _write_combinations(
    writer: Writer, combinations: tuple[Combination, ...], book: SeedBook
) -> None:
    writer.pack("I", len(combinations))
    for combination in combinations:
        writer.pack("B", _DISTRIBUTIONS.index(combination.distribution))
        _write_support(writer, combination.support)
        write_names(writer, [name for name, _ in combination.pairs], book)
        coefficients = np.array([value for _, value in combination.pairs], dtype=np.float32)
        if not np.isfinite(coefficients).all():
            raise ValueError("a coefficient is not a finite float32 number")
        writer.array(coefficients, "<f4")


def _read_combinations(reader: Reader, names: NameReader) -> tuple[Combination, ...]:
    (count,) = reader.unpack("I")
    return tuple(_read_combination(reader, names) for _ in range(count))


def _read_combination(reader: Reader, names: NameReader) -> Combination:
    distribution = reader.choice(_DISTRIBUTIONS)
    support = _read_support(reader)
    directions = names.read(reader)
    coefficients = reader.finite("<f4").tolist()
    if len(coefficients) != len(directions):
        raise MalformedMessageError(f"{len(coefficients)} coefficients, {len(directions)} names")
    return Combination(
        distribution=distribution,
        support=support,
        pairs=tuple(zip(directions, coefficients, strict=True)),
    )


def _write_update(writer: Writer, update: RoundUpdate, book: SeedBook) -> None:
    writer.pack("B", _flags(update.momentum is not None))
    if update.momentum is not None:
        writer.pack("dd", *update.momentum)
    _write_combinations(writer, update.combinations, book)
    writer.pack("I", len(update.overwrites))
    for overwrite in update.overwrites:
        writer.pack("I", overwrite.offset)
        writer.array(_finite(overwrite.values), "<f4")


def _read_update(reader: Reader, names: NameReader) -> RoundUpdate:
    (has_momentum,) = reader.flags(1)
    momentum: Any = reader.unpack("dd") if has_momentum else None
    combinations = _read_combinations(reader, names)
    (count,) = reader.unpack("I")
    overwrites = tuple(Overwrite(reader.unpack("I")[0], reader.finite("<f4")) for _ in range(count))
    return RoundUpdate(combinations, momentum, overwrites)


def _write_state(writer: Writer, state: ReplicaState) -> None:
    writer.pack("B", _flags(state.memory is not None))
    writer.array(_finite(state.values), "<f4")
    if state.memory is not None:
        writer.array(_finite(state.memory), "<f4")


def _read_state(reader: Reader) -> ReplicaState:
    (has_memory,) = reader.flags(1)
    values = reader.finite("<f4")
    memory = reader.finite("<f4") if has_memory else None
    if memory is not None and len(memory) != len(values):
        raise MalformedMessageError(f"{len(memory)} elements of memory for {len(values)} values")
    return ReplicaState(values, memory)


def _finite(values: Values) -> Values:
    if not np.isfinite(values).all():
        raise ValueError("values of an order are not finite numbers")
    return values


def _flags(*bits: bool) -> int:
    return sum(bit << position for position, bit in enumerate(bits))
