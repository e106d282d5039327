"""Files of capability profiles: one as a JSON document, many as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from device_bench.profiles.profile import Profile
from exporters.durable_files import replaced_atomically
from exporters.errors import ContractError

MANY_SUFFIX = ".jsonl"


def read_profiles(path: Path) -> list[Profile]:
    """The profiles of a `.jsonl` file, a line each; the one profile of any other file.

    Raises:
        ContractError: the file is missing, holds no profile, or one that is malformed; the
            message names its line.
    """
    if path.suffix != MANY_SUFFIX:
        return [Profile.read(path)]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ContractError(
            f"cannot read the capability profiles: {error.strerror or error}", file=path
        ) from error
    except UnicodeDecodeError as error:
        raise ContractError("the capability profiles are not UTF-8 text", file=path) from error
    profiles = [
        Profile.parse(line, file=path, line=number)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not profiles:
        raise ContractError("the file holds no capability profile", file=path)
    return profiles


def write_profiles(path: Path, profiles: Iterable[Profile]) -> None:
    """Writes a line for each, atomically.

    Raises:
        ContractError: the name does not end as that of such a file.
    """
    if path.suffix != MANY_SUFFIX:
        raise ContractError(
            "many profiles are one file of JSON Lines",
            remedy=f"give it a name that ends in {MANY_SUFFIX}",
            file=path,
        )
    with replaced_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for profile in profiles:
            file.write(profile.model_dump_json() + "\n")
