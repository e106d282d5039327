"""The command line as tests use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from toolkit.cli.app import app


def fwdllm(*arguments: object) -> Any:
    """Runs a command that must succeed; its JSON document."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def trusted(profile: Path) -> Path:
    """The profile as a quiet machine would have it: how busy this one is decides no test."""
    content = json.loads(profile.read_text())
    for backend in content["backends"]:
        backend["verdict"], backend["reasons"] = "valid", []
    profile.write_text(json.dumps(content))
    return profile
