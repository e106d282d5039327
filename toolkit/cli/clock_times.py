"""How long something takes, as a clock shows it."""

from __future__ import annotations


def clock_text(seconds: float) -> str:
    """`M:SS`, or `H:MM:SS` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span_text(seconds: tuple[float, float]) -> str:
    """From the least to the most, or the one time that both are."""
    least, most = map(clock_text, seconds)
    return least if least == most else f"{least} to {most}"
