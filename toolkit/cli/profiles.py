"""Capability profiles as they are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.profiles import profile_files
from device_bench.profiles.profile import Profile
from toolkit.cli.options import named_path

PROFILES_HELP = (
    "Capability profiles, or .jsonl files of many; HOST=FILE for devices of a SuperLink's host."
)


def read_profiles(texts: Sequence[str]) -> list[Profile]:
    """The profiles of files; after HOST=FILE the target is HOST/TARGET, as the server knows it.

    Raises:
        ContractError: a file is missing or malformed.
    """
    return [profile for text in texts for profile in _read(text)]


def _read(text: str) -> list[Profile]:
    host, path = named_path(text)
    profiles = profile_files.read_profiles(path)
    if host is None:
        return profiles
    return [
        profile.model_copy(update={"target": f"{host}/{profile.target}"}) for profile in profiles
    ]
