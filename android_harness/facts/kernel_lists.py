"""Lists of cores as the kernel writes them."""

from __future__ import annotations

import re

_HIGHEST_CORE = 4095


def parse_kernel_list(text: str) -> tuple[int, ...]:
    """The numbers in `0-3,7` or `0 1 2 3`, ascending; empty if it is no such list."""
    numbers: set[int] = set()
    for item in text.replace(",", " ").split():
        match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", item)
        if match is None:
            return ()
        first, last = int(match[1]), int(match[2] or match[1])
        if last > _HIGHEST_CORE:
            return ()
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def as_kernel_list(numbers: tuple[int, ...]) -> str:
    """`0-3,7` of ascending numbers."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
