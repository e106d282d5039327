"""The base of every file that one part of the system writes and another reads.

A contract is a pydantic model that refuses unknown fields and carries a schema version; its JSON
Schema is published under docs/schemas/ (`make schemas`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from exporters.durable_files import write_atomically
from exporters.errors import ContractError


class Part(BaseModel):
    """A piece of a contract: unknown fields are refused, values do not change after validation."""

    # JSON has no NaN or infinity; as null they could not be read back.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Contract(Part):
    """A whole JSON file. Subclasses set `supported_version` and the word used in messages."""

    supported_version: ClassVar[int] = 1
    word: ClassVar[str]

    schema_version: int = 1

    def write(self, path: Path) -> None:
        """Writes the file atomically."""
        write_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and validates the file.

        Raises:
            ContractError: the file is missing, is not JSON, has another schema version, or
                breaks the schema; the message names the first offending fields.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ContractError(
                f"cannot read the {cls.word}: {error.strerror or error}", file=path
            ) from error
        except UnicodeDecodeError as error:
            raise ContractError(f"the {cls.word} is not UTF-8 text", file=path) from error
        try:
            contract = cls.model_validate_json(text)
        except ValidationError as error:
            raise ContractError(
                f"this is not a valid {cls.word}: {_first_problems(error)}",
                remedy="regenerate it with this version of fwdllm",
                file=path,
            ) from error
        if contract.schema_version != cls.supported_version:
            raise ContractError(
                f"the {cls.word} has schema version {contract.schema_version}, "
                f"this fwdllm reads version {cls.supported_version}",
                remedy="regenerate it with this version of fwdllm",
                file=path,
            )
        return contract


def _first_problems(error: ValidationError, limit: int = 3) -> str:
    def describe(problem: Any) -> str:
        place = ".".join(str(part) for part in problem["loc"]) or "file"
        return f"{place}: {problem['msg']}"

    problems = error.errors()
    shown = "; ".join(describe(problem) for problem in problems[:limit])
    return shown + (f"; and {len(problems) - limit} more" if len(problems) > limit else "")
