"""Capability profiles as they are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.profile import Profile
from toolkit.cli.options import named_path

PROFILES_HELP = "Capability profiles; HOST=FILE for a device of a SuperLink's host."


def read_profiles(texts: Sequence[str]) -> list[Profile]:
    """The profiles of files; after HOST=FILE the target is HOST/TARGET, as the server knows it.

    Raises:
        ContractError: a file is missing or malformed.
    """
    return [_read(text) for text in texts]


def _read(text: str) -> Profile:
    host, path = named_path(text)
    profile = Profile.read(path)
    if host is None:
        return profile
    return profile.model_copy(update={"target": f"{host}/{profile.target}"})
