"""The base of every file that one part of the system writes and another reads.

A contract is a pydantic model that refuses unknown fields and carries a schema version; its JSON
Schema is published under docs/schemas/ (`make schemas`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exporters.durable_files import write_atomically
from exporters.errors import ContractError

# From the fields of one version to those of the next; may change the document it is given.
Migration = Callable[[dict[str, Any]], dict[str, Any]]


class Part(BaseModel):
    """A piece of a contract: unknown fields are refused, values do not change after validation."""

    # JSON has no NaN or infinity; as null they could not be read back.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Contract(Part):
    """A whole JSON file. Subclasses set the word used in messages, and what differs from here.

    A subclass whose fields have changed sets `supported_version` and the default of
    `schema_version` to its newest version, and `migrations` to the step from each older one.
    """

    supported_version: ClassVar[int] = 1
    migrations: ClassVar[Mapping[int, Migration]] = {}  # by the version that a step starts from
    word: ClassVar[str]
    remedy: ClassVar[str] = "regenerate it with this version of fwdllm"  # of one that is no good

    schema_version: Annotated[int, Field(strict=True)] = 1

    def write(self, path: Path) -> None:
        """Writes the file atomically."""
        write_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and validates the file, of this schema version or of one that can be migrated.

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
        return cls.parse(text, file=path)

    @classmethod
    def read_all(cls, folder: Path) -> list[Self]:
        """The contracts in a folder's `.json` files, without those that go while they are read.

        Raises:
            ContractError: a file that is there is none.
        """
        found = []
        for path in folder.glob("*.json"):
            try:
                found.append(cls.read(path))
            except ContractError:
                if path.exists():
                    raise
        return found

    @classmethod
    def parse(cls, text: str, *, file: Path, line: int | None = None) -> Self:
        """The contract in a text that is from `file`, or is the one on a `line` of it.

        Raises:
            ContractError: as `read`.
        """
        word = cls.word if line is None else f"{cls.word} on line {line}"
        problem: ValidationError
        try:
            contract = cls.model_validate_json(text)
            if contract.schema_version == cls.supported_version:
                return contract
        except ValidationError as error:
            problem = error
        # The fields of another version are of no interest: its number says what is wrong.
        document = cls._migrated(text, word, file)
        if document is not None:
            try:
                return cls.model_validate(document)
            except ValidationError as error:
                problem = error
        raise ContractError(
            f"this is not a valid {word}: {_first_problems(problem)}",
            remedy=cls.remedy,
            file=file,
        ) from problem

    @classmethod
    def _migrated(cls, text: str, word: str, file: Path) -> dict[str, Any] | None:
        """The document of an older version as one of this; None: it is of this version, or of none.

        Raises:
            ContractError: no step leads from its version to this one.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return None
        current = cls.supported_version
        version = document.get("schema_version", current) if isinstance(document, dict) else None
        if type(version) is not int or version == current:
            return None
        oldest = min(cls.migrations, default=current)
        if not oldest <= version < current:
            readable = f"versions {oldest} to" if oldest < current else "version"
            raise ContractError(
                f"the {word} has schema version {version}, this fwdllm reads {readable} {current}",
                remedy="read it with the fwdllm that wrote it, or a newer one"
                if version > current
                else cls.remedy,
                file=file,
            )
        for step in range(version, current):
            document = cls.migrations[step](document)
        return {**document, "schema_version": current}


def _first_problems(error: ValidationError, limit: int = 3) -> str:
    problems = error.errors()
    shown = "; ".join(_described(problem) for problem in problems[:limit])
    return shown + (f"; and {len(problems) - limit} more" if len(problems) > limit else "")


def _described(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "file"
    if problem["type"] == "extra_forbidden":
        return f"it has a field {place}, which is not known"
    if problem["type"] == "missing":
        return f"its field {place} is missing"
    return f"{place}: {problem['msg']}"
