"""Orders, answers and failures as bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from exporters.lora.combination import Combination
from exporters.lora.directions import SEED_LIMIT, draw_seeds
from exporters.lora.support import EVERYTHING, Support
from toolkit.protocol import direction_names
from toolkit.protocol.binary import MalformedMessageError, Reader, Writer
from toolkit.protocol.codec import (
    decode_order,
    decode_outcome,
    decode_replica,
    encode_order,
    encode_outcome,
    encode_replica,
)
from toolkit.protocol.direction_names import NameReader
from toolkit.protocol.order import Along, Answer, CatchUp, Failure, Order, Probes, Snapshot
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import Overwrite, ReplicaState, RoundUpdate

RUN_SEED = 7
NOTED = {3: 40, 5: 400, 2**62 - 1: 10}


def noted_book() -> SeedBook:
    book = SeedBook(RUN_SEED)
    for stream, count in NOTED.items():
        book.note(stream, count)
    return book


BOOK = noted_book()
SHA = hashlib.sha256(b"values").hexdigest()

seeds = st.integers(0, SEED_LIMIT - 1) | st.sampled_from(
    [seed for stream, count in NOTED.items() for seed in draw_seeds(RUN_SEED, stream, count)]
)
spans = st.tuples(st.integers(0, 390), st.integers(0, 10)).map(
    lambda span: draw_seeds(RUN_SEED, 5, 400)[span[0] : span[0] + span[1]]
)
names = st.lists(
    seeds.map(lambda seed: [seed])
    | st.lists(seeds, min_size=1, max_size=3).map(lambda name: [tuple(name)])
    | spans,
    max_size=6,
).map(lambda parts: tuple(name for part in parts for name in part))
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
doubles = st.floats(allow_nan=False, allow_infinity=False)
vectors = arrays(np.float32, st.integers(0, 9), elements=finite)
supports = st.builds(
    Support,
    layers=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 65_535)),
    matrices=st.sampled_from(["AB", "B"]),
    head=st.booleans(),
)


@st.composite
def combination_of(draw: st.DrawFn) -> Combination:
    return Combination(
        distribution=draw(st.sampled_from(["rademacher", "gaussian"])),
        support=draw(supports),
        pairs=tuple((name, draw(finite)) for name in draw(names)),
    )


combinations = st.lists(combination_of(), max_size=3).map(tuple)
updates = st.builds(
    RoundUpdate,
    combinations,
    st.none() | st.tuples(doubles, doubles),
    st.lists(st.builds(Overwrite, st.integers(0, 2**32 - 1), vectors), max_size=2).map(tuple),
)


@st.composite
def states(draw: st.DrawFn) -> ReplicaState:
    values = draw(vectors)
    memory = draw(st.none() | arrays(np.float32, len(values), elements=finite))
    return ReplicaState(values, memory)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    sync: CatchUp | Snapshot
    if draw(st.booleans()):
        version = draw(st.integers(0, 2**32 - 1))
        sync = Snapshot(draw(states()))
    else:
        sync = CatchUp(draw(st.integers(0, 2**31)), tuple(draw(st.lists(updates, max_size=3))))
        version = sync.since + len(sync.updates)
    return Order(
        round_number=draw(st.integers(0, 2**32 - 1)),
        increment=draw(st.integers(0, 65_535)),
        version=version,
        sync=sync,
        values_sha256=draw(st.binary(min_size=32, max_size=32)).hex(),
        batch=tuple(draw(st.lists(st.integers(0, 2**32 - 1), max_size=5))),
        estimator=draw(st.sampled_from(["central", "forward", "tangent"])),
        epsilon=draw(st.floats(min_value=1e-9, max_value=1e3)),
        probes=draw(
            st.none()
            | st.builds(
                Probes,
                names,
                st.sampled_from(["rademacher", "gaussian"]),
                supports,
                st.integers(1, 65_535),
            )
        ),
        along=draw(st.none() | st.builds(Along, doubles, combinations)),
        exact_head=draw(st.booleans()),
    )


anything = st.floats(width=32)
answers = st.builds(
    Answer,
    st.integers(0, 2**32 - 1),
    st.integers(0, 65_535),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    arrays(np.float32, st.integers(0, 9), elements=anything),
    anything,
    st.none() | anything,
    st.none() | arrays(np.float32, st.integers(0, 9), elements=anything),
    st.floats(width=32, min_value=0, allow_nan=False, allow_infinity=False),
    st.sampled_from(["held", "updates", "snapshot"]),
)
failures = st.builds(
    Failure, st.integers(0, 2**32 - 1), st.integers(0, 65_535), st.text(max_size=300), st.booleans()
)


def plain(value: Any) -> Any:
    """A form of dataclasses with arrays in them that == compares, NaN equal to itself."""
    if isinstance(value, np.ndarray):
        assert value.dtype == np.float32
        return value.tobytes()
    if dataclasses.is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return np.float64(value).tobytes() if isinstance(value, float) else value


@given(orders())
def test_orders_survive_the_wire(order: Order) -> None:
    # The receiver knows the run's seed only; nothing has been noted in its book.
    read = decode_order(encode_order(order, BOOK), SeedBook(RUN_SEED))
    assert plain(read) == plain(order)


@given(st.integers(0, 2**32 - 1), states(), st.binary(max_size=60))
def test_replicas_survive_the_wire(version: int, state: ReplicaState, garbage: bytes) -> None:
    message = encode_replica(version, state)
    assert plain(decode_replica(message)) == plain((version, state))
    for bad in (message[:-1], message + b"\0", garbage):
        with pytest.raises(MalformedMessageError):
            decode_replica(bad)


@given(answers | failures)
def test_outcomes_survive_the_wire(outcome: Answer | Failure) -> None:
    assert plain(decode_outcome(encode_outcome(outcome))) == plain(outcome)


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused(message: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_order(message, BOOK)
    with pytest.raises(MalformedMessageError):
        decode_outcome(message)


@given(orders(), st.data())
def test_no_damaged_order_does_worse_than_be_refused(order: Order, data: st.DataObject) -> None:
    message = bytearray(encode_order(order, BOOK))
    position = data.draw(st.integers(0, len(message) - 1))
    message[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MalformedMessageError):
        decode_order(bytes(message), SeedBook(RUN_SEED))


@given(orders(), st.data())
def test_an_order_cut_short_or_with_more_after_it_is_refused(
    order: Order, data: st.DataObject
) -> None:
    message = encode_order(order, BOOK)
    cut = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(MalformedMessageError):
        decode_order(message[:cut], BOOK)
    with pytest.raises(MalformedMessageError, match="left at its end"):
        decode_order(message + b"\0", BOOK)


@given(answers | failures, st.data())
def test_an_outcome_cut_short_or_with_more_after_it_is_refused(
    outcome: Answer | Failure, data: st.DataObject
) -> None:
    message = encode_outcome(outcome)
    cut = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(MalformedMessageError):
        decode_outcome(message[:cut])
    with pytest.raises(MalformedMessageError, match="left at its end"):
        decode_outcome(message + b"\0")


def order_of(**changes: Any) -> Order:
    order = Order(
        round_number=4,
        increment=0,
        version=3,
        sync=CatchUp(3, ()),
        values_sha256=SHA,
        batch=tuple(range(16)),
        estimator="central",
        epsilon=0.01,
        probes=Probes((), "rademacher", EVERYTHING, 8),
    )
    return dataclasses.replace(order, **changes)


def test_a_slope_costs_four_bytes() -> None:
    def size(slopes: int) -> int:
        values = np.zeros(slopes, dtype=np.float32)
        return len(encode_outcome(Answer(1, 0, SHA, values, 0.5, None, None, 1.0, "held")))

    assert size(1000) - size(0) == 4000
    assert size(0) < 80


def test_consecutive_directions_cost_nothing_each() -> None:
    def size(first: int, stop: int) -> int:
        drawn = tuple(draw_seeds(RUN_SEED, 5, stop)[first:])
        return len(encode_order(order_of(probes=Probes(drawn, "rademacher", EVERYTHING, 8)), BOOK))

    assert size(0, 400) == size(390, 400)
    assert size(0, 400) < 120


def test_a_round_to_catch_up_with_costs_four_bytes_a_probe() -> None:
    def size(probes: int) -> int:
        drawn = draw_seeds(RUN_SEED, 5, 400)[:probes]
        update = RoundUpdate((Combination(pairs=tuple((seed, 0.5) for seed in drawn)),))
        return len(encode_order(order_of(sync=CatchUp(2, (update,))), BOOK))

    assert size(400) - size(100) == 1200


def test_a_pool_of_seeds_costs_a_byte_a_direction() -> None:
    pool = draw_seeds(RUN_SEED, 3, 40)
    drawn = tuple(pool[number * 7 % 40] for number in range(200))
    order = order_of(probes=Probes(drawn, "rademacher", EVERYTHING, 8))
    assert len(encode_order(order, BOOK)) < 200 + 130


def test_unnoted_directions_travel_as_seeds() -> None:
    order = order_of(probes=Probes(tuple(draw_seeds(RUN_SEED, 9, 50)), "rademacher", EVERYTHING, 8))
    assert decode_order(encode_order(order, BOOK), SeedBook(RUN_SEED)) == order


def test_a_few_bytes_cannot_make_the_receiver_draw_seeds_without_end() -> None:
    book = SeedBook(RUN_SEED)
    book.note(5, 2)
    drawn = tuple(draw_seeds(RUN_SEED, 5, 2))
    message = encode_order(order_of(probes=Probes(drawn, "rademacher", EVERYTHING, 8)), book)
    # first 0, count 2 at the very end
    huge = message[:-8] + (0).to_bytes(4, "little") + (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(MalformedMessageError, match="seeds"):
        decode_order(huge, book)


def test_many_spans_of_one_stream_count_once() -> None:
    # 1000 clients with 64 probes each, of which every tenth was lost: 100 spans up to 64,000.
    book = SeedBook(RUN_SEED)
    book.note(5, 64_000)
    drawn = draw_seeds(RUN_SEED, 5, 64_000)
    kept = [seed for place, seed in enumerate(drawn) if place // 64 % 10]
    update = RoundUpdate((Combination(pairs=tuple((seed, 0.5) for seed in kept)),))
    order = order_of(sync=CatchUp(1, (update, update)))
    assert decode_order(encode_order(order, book), SeedBook(RUN_SEED)) == order


def test_small_steps_along_a_stream_are_not_drawn_anew_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = SeedBook(RUN_SEED)
    writer = Writer()
    writer.pack("I", 1000)
    for first in range(1000):
        writer.pack("BQII", 2, 5, first, 1)  # a span of one seed
    counts: list[int] = []

    def draw(stream: int, count: int) -> list[int]:
        counts.append(count)
        return draw_seeds(RUN_SEED, stream, count)

    monkeypatch.setattr(book, "draw", draw)
    read = NameReader(book).read(Reader(writer.bytes()))
    assert list(read) == draw_seeds(RUN_SEED, 5, 1000)
    assert sum(counts) < 4 * 1000


def test_streams_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direction_names, "DRAW_LIMIT", 100)

    def read(*spans: tuple[int, int, int]) -> int:
        writer = Writer()
        writer.pack("I", len(spans))
        for stream, first, count in spans:
            writer.pack("BQII", 2, stream, first, count)
        return len(NameReader(SeedBook(RUN_SEED)).read(Reader(writer.bytes())))

    assert read((5, 0, 40), (5, 0, 60), (6, 30, 10)) == 110
    with pytest.raises(MalformedMessageError, match="more than 100 seeds"):
        read((5, 0, 60), (6, 40, 1))


def test_a_message_of_another_version_says_so() -> None:
    message = bytearray(encode_order(order_of(), BOOK))
    message[2] = 2
    with pytest.raises(MalformedMessageError, match="version 2"):
        decode_order(bytes(message), BOOK)


def test_an_order_is_no_outcome() -> None:
    with pytest.raises(MalformedMessageError, match="it is an order, not an answer"):
        decode_outcome(encode_order(order_of(), BOOK))


def test_updates_must_lead_to_the_orders_version() -> None:
    message = encode_order(order_of(version=9), BOOK)
    with pytest.raises(MalformedMessageError, match="not to 9"):
        decode_order(message, BOOK)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e300])
def test_an_order_with_a_coefficient_out_of_range_is_not_sent(bad: float) -> None:
    update = RoundUpdate((Combination(pairs=((1, bad),)),))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="finite"):
        encode_order(order_of(sync=CatchUp(2, (update,))), BOOK)


def test_a_snapshot_with_nan_is_refused() -> None:
    values = np.arange(4, dtype=np.float32)
    message = encode_order(order_of(sync=Snapshot(ReplicaState(values)), probes=None), BOOK)
    damaged = message[:-4] + np.array([np.nan], dtype="<f4").tobytes()
    with pytest.raises(MalformedMessageError, match="not finite"):
        decode_order(damaged, BOOK)


def test_a_long_reason_is_cut_between_characters() -> None:
    failure = Failure(1, 0, "é" * 5000, True)
    read = decode_outcome(encode_outcome(failure))
    assert isinstance(read, Failure)
    assert 900 < len(read.reason) <= 1000 and set(read.reason) == {"é"}
