"""The root of every error this project raises on purpose.

An error says what happened, where (file, device), and what to do next. The command line prints
these three and exits with code 1; anything else that escapes is a bug.
"""

from __future__ import annotations

from pathlib import Path


class FwdllmError(Exception):
    """An expected failure with a remedy.

    Args:
        message: what happened, in one sentence.
        remedy: what the user can do about it, in one sentence.
        file: the file concerned, when there is one.
    """

    def __init__(self, message: str, *, remedy: str = "", file: Path | str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.file = Path(file) if file is not None else None

    def __str__(self) -> str:
        parts = [self.message]
        if self.file is not None:
            parts.append(f"(file: {self.file})")
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}")
        return " ".join(parts)


class ContractError(FwdllmError):
    """A file between two parts of the system is missing, malformed or of another version."""


class ExportError(FwdllmError):
    """A model or adapter could not be exported."""


class UnsupportedModelError(ExportError):
    """The model is not of a family that the exporters and the native runner implement."""
