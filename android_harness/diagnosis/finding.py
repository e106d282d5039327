"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        check: what was looked at.
        ok: it works; with a remedy, in a lesser way.
        seen: what was found.
        remedy: what to do about it.
    """

    check: str
    ok: bool
    seen: str
    remedy: str = ""
