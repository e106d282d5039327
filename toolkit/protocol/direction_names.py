"""Names of directions on the wire.

Names travel in segments of one kind each: a span of consecutive seeds of a stream (17 bytes,
however long), positions in a stream (1, 2 or 4 bytes a seed), or the seeds themselves (8 bytes
each). Names of one seed per tensor travel as positions or as seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from exporters.lora.combination import DirectionName
from exporters.lora.directions import SEED_LIMIT
from toolkit.protocol.binary import MalformedMessageError, Reader, Writer
from toolkit.protocol.seed_book import SeedBook

_SEEDS, _POSITIONS, _SPAN = range(3)
# What a message may make the receiver draw: a span of a few bytes can name any number of seeds.
DRAW_LIMIT = 1 << 22

_Place = tuple[int, int]


class NameReader:
    """Reads the names of one message; the seeds that it draws for them are limited together.

    Seeds that several names come from are drawn, and counted, once.
    """

    def __init__(self, book: SeedBook) -> None:
        self._book = book
        self._drawn: dict[int, list[int]] = {}  # the first seeds of streams
        self._counted: dict[int, int] = {}  # how many of them are asked for
        self._left = DRAW_LIMIT

    def read(self, reader: Reader) -> tuple[DirectionName, ...]:
        """
        Raises:
            MalformedMessageError: these are not names of directions, or too many.
        """
        (segments,) = reader.unpack("I")
        names: list[DirectionName] = []
        for _ in range(segments):
            names.extend(self._segment(reader))
        return tuple(names)

    def _segment(self, reader: Reader) -> Sequence[DirectionName]:
        (kind,) = reader.unpack("B")
        if kind == _SPAN:
            stream, first, count = reader.unpack("QII")
            return self._draw(stream, first + count)[first : first + count]
        if kind not in (_SEEDS, _POSITIONS):
            raise MalformedMessageError(f"directions of an unknown kind {kind}")
        (width,) = reader.unpack("H")
        if kind == _SEEDS:
            seeds = [int(seed) for seed in reader.array("<u8")]
            if any(seed >= SEED_LIMIT for seed in seeds):
                raise MalformedMessageError("a seed is 2**63 or more")
        else:
            (stream,) = reader.unpack("Q")
            positions = reader.indices()
            drawn = self._draw(stream, int(positions.max(initial=-1)) + 1)
            seeds = [drawn[position] for position in positions]
        if width == 0:
            return seeds
        if len(seeds) % width:
            raise MalformedMessageError(f"{len(seeds)} seeds do not make directions of {width}")
        return [tuple(seeds[first : first + width]) for first in range(0, len(seeds), width)]

    def _draw(self, stream: int, count: int) -> list[int]:
        """The first `count` seeds of a stream, or more."""
        if stream < 1:
            raise MalformedMessageError("stream 0 of a seed names no seeds")
        counted = self._counted.get(stream, 0)
        self._left -= max(0, count - counted)
        if self._left < 0:
            raise MalformedMessageError(f"it asks for more than {DRAW_LIMIT} seeds")
        self._counted[stream] = max(count, counted)
        drawn = self._drawn.get(stream, [])
        if count > len(drawn):
            # Always from the stream's beginning: doubled, so that small steps do not add up.
            drawn = self._book.draw(stream, max(count, 2 * len(drawn)))
            self._drawn[stream] = drawn
        return drawn


def write_names(writer: Writer, names: Sequence[DirectionName], book: SeedBook) -> None:
    """
    Raises:
        ValueError: a name without seeds, or a seed outside its range.
    """
    segments = list(_segments(names, book))
    writer.pack("I", len(segments))
    for kind, stream, part in segments:
        writer.pack("B", kind)
        if kind == _SPAN:
            place = book.place(_seeds(part[0])[0])
            assert place is not None  # what made it a span
            writer.pack("QII", stream, place[1], len(part))
            continue
        writer.pack("H", 0 if isinstance(part[0], int) else len(part[0]))
        seeds = list(chain.from_iterable(_seeds(name) for name in part))
        if kind == _SEEDS:
            if not all(0 <= seed < SEED_LIMIT for seed in seeds):
                raise ValueError("a seed lies outside 0 to 2**63")
            writer.array(np.array(seeds, dtype=np.uint64), "<u8")
        else:
            writer.pack("Q", stream)
            places = [book.place(seed) for seed in seeds]
            writer.indices(np.array([place[1] for place in places if place], dtype=np.int64))


def _segments(
    names: Sequence[DirectionName], book: SeedBook
) -> Iterator[tuple[int, int, list[DirectionName]]]:
    """Consecutive names of one width and stream (0: of none), as (kind, stream, names)."""
    part: list[DirectionName] = []
    places: list[_Place] = []
    key: tuple[int, int] | None = None
    for name in names:
        stream, own = _stream(name, book)
        if key != (_width(name), stream) and part:
            yield from _kinds(key, part, places)
            part, places = [], []
        key = _width(name), stream
        part.append(name)
        places.extend(own)
    if part:
        yield from _kinds(key, part, places)


def _kinds(
    key: tuple[int, int] | None, part: list[DirectionName], places: list[_Place]
) -> Iterator[tuple[int, int, list[DirectionName]]]:
    """Divides names of one stream into spans where they are consecutive, else one segment."""
    assert key is not None
    width, stream = key
    if stream == 0:
        yield _SEEDS, 0, part
        return
    if width == 0:
        breaks = [
            index for index in range(1, len(part)) if places[index][1] != places[index - 1][1] + 1
        ]
        # A span takes 17 bytes; positions take up to 4 each and 16 for all.
        if 17 * (len(breaks) + 1) <= 16 + 2 * len(part):
            for first, stop in zip([0, *breaks], [*breaks, len(part)], strict=True):
                yield _SPAN, stream, part[first:stop]
            return
    yield _POSITIONS, stream, part


def _stream(name: DirectionName, book: SeedBook) -> tuple[int, list[_Place]]:
    """The one stream that all seeds of a name come from, 0 where there is none, and places."""
    places = [book.place(seed) for seed in _seeds(name)]
    known = [place for place in places if place is not None]
    streams = {stream for stream, _ in known}
    if len(known) < len(places) or len(streams) != 1:
        return 0, []
    return streams.pop(), known


def _seeds(name: DirectionName) -> tuple[int, ...]:
    return (name,) if isinstance(name, int) else name


def _width(name: DirectionName) -> int:
    """0 for a name of one seed over the whole vector."""
    if isinstance(name, int):
        return 0
    if not name:
        raise ValueError("a direction is named by at least one seed")
    return len(name)
