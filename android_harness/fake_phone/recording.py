"""A recorded device, for a fake phone to serve."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.errors import ContractError


@dataclass(frozen=True)
class Recording:
    """What a device said of itself.

    Attributes:
        props: its property table.
        files: /proc and /sys files, by absolute path.
        commands: what commands printed, by command line: `dumpsys battery`. Of a list, each time
            the next, and in the end the last again and again.
    """

    props: Mapping[str, str]
    files: Mapping[str, str]
    commands: Mapping[str, str | Sequence[str]]

    @property
    def scripts(self) -> dict[str, str]:
        """Programs that print what was recorded, and fail for all else."""
        answers: dict[str, list[str]] = {}
        for number, (command, printed) in enumerate(self.commands.items()):
            program, _, arguments = command.partition(" ")
            answer = _print(printed) if isinstance(printed, str) else _print_next(printed, number)
            answers.setdefault(program, []).append(f"  {shlex.quote(arguments)}) {answer} ;;\n")
        return {
            program: f'#!/bin/sh\ncase "$*" in\n{"".join(cases)}  *) exit 1 ;;\nesac\n'
            for program, cases in answers.items()
        }


def _print(text: str) -> str:
    return f"printf %s {shlex.quote(text)}"


def _print_next(texts: Sequence[str], number: int) -> str:
    """A file counts how often the command was asked."""
    cases = "".join(f" {time}) {_print(text)} ;;" for time, text in enumerate(texts[:-1]))
    return (
        f'asked=$HOME/asked-{number}; read -r times 2>/dev/null <"$asked" || times=0; '
        f'echo $((times + 1)) >"$asked"; case $times in{cases} *) {_print(texts[-1])} ;; esac'
    )


def read_recording(path: Path) -> Recording:
    """A JSON file with an object of texts for each of `props`, `files` and `commands`; a command
    may have a list of texts.

    Raises:
        ContractError: it cannot be read, or is no such file.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        parts = [document.get(name, {}) for name in ("props", "files", "commands")]
        texts = [text for part in parts[:2] for text in part.values()]
        for printed in parts[2].values():
            texts += printed if isinstance(printed, list) and printed else [printed]
        well_formed = all(isinstance(text, str) for text in texts)
    except OSError as error:
        raise ContractError(
            f"cannot read the recording: {error.strerror or error}", file=path
        ) from error
    except (ValueError, AttributeError) as error:
        raise ContractError("this is not a recording of a device", file=path) from error
    if not well_formed:
        raise ContractError("this is not a recording of a device", file=path)
    return Recording(*parts)
