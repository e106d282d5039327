"""Rules of the server as options: `KIND` or `KIND:field=value,field=value`."""

from __future__ import annotations

import json
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError


def rule(kinds: Any, text: str | None) -> Any:
    """The rule of the union `kinds` that the text names; None for None.

    Hyphens stand for underscores, so that `slope-test:most-increments=4` is what it looks like.

    Raises:
        typer.BadParameter: no such kind or field, or a value out of range; the message says what
            there is.
    """
    if text is None:
        return None
    kind, _, rest = text.partition(":")
    fields: dict[str, object] = {"kind": _name(kind)}
    for part in filter(None, rest.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected {kind}:field=value, got {text!r}")
        fields[_name(name)] = _value(value)
    try:
        return TypeAdapter(kinds).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise typer.BadParameter(f"{text!r}: {reason}") from error


def _value(text: str) -> object:
    """A number, true, false or null as JSON has them; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _name(text: str) -> str:
    return text.strip().replace("-", "_")
