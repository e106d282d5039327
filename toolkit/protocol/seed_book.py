"""Where the seeds of a run come from, so that a message can say so instead of listing them."""

from __future__ import annotations

from exporters.lora.directions import draw_seeds


class SeedBook:
    """Places of seeds in the streams of `draw_seeds(run_seed, stream, count)`.

    The server notes the streams that it draws from; clients need the run's seed alone. A noted
    seed takes some 150 bytes of memory.
    """

    def __init__(self, run_seed: int) -> None:
        self.run_seed = run_seed
        self._places: dict[int, tuple[int, int]] = {}
        self._noted: dict[int, int] = {}

    def note(self, stream: int, count: int) -> None:
        """Remembers the first `count` seeds of a stream."""
        already = self._noted.get(stream, 0)
        if count <= already:
            return
        for index, seed in enumerate(draw_seeds(self.run_seed, stream, count)[already:]):
            self._places[seed] = stream, already + index
        self._noted[stream] = count

    def place(self, seed: int) -> tuple[int, int] | None:
        """The stream and the position in it; None where the seed is in no noted stream."""
        return self._places.get(seed)

    def draw(self, stream: int, count: int) -> list[int]:
        """The first `count` seeds of a stream."""
        return draw_seeds(self.run_seed, stream, count)
