"""A recorded device, for a fake phone to serve."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
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
        commands: what commands printed, by command line: `dumpsys battery`.
    """

    props: Mapping[str, str]
    files: Mapping[str, str]
    commands: Mapping[str, str]

    @property
    def scripts(self) -> dict[str, str]:
        """Programs that print what was recorded, and fail for all else."""
        answers: dict[str, list[str]] = {}
        for command, printed in self.commands.items():
            program, _, arguments = command.partition(" ")
            answers.setdefault(program, []).append(
                f"  {shlex.quote(arguments)}) printf %s {shlex.quote(printed)} ;;\n"
            )
        return {
            program: f'#!/bin/sh\ncase "$*" in\n{"".join(cases)}  *) exit 1 ;;\nesac\n'
            for program, cases in answers.items()
        }


def read_recording(path: Path) -> Recording:
    """A JSON file with an object of texts for each of `props`, `files` and `commands`.

    Raises:
        ContractError: it cannot be read, or is no such file.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        parts = [document.get(name, {}) for name in ("props", "files", "commands")]
        well_formed = all(isinstance(text, str) for part in parts for text in part.values())
    except OSError as error:
        raise ContractError(
            f"cannot read the recording: {error.strerror or error}", file=path
        ) from error
    except (ValueError, AttributeError) as error:
        raise ContractError("this is not a recording of a device", file=path) from error
    if not well_formed:
        raise ContractError("this is not a recording of a device", file=path)
    return Recording(*parts)
