"""Profiles of one bundle on several backends of a device, as one."""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.errors import SamplesError
from device_bench.profiles.profile import Profile


def join_profiles(profiles: Sequence[Profile]) -> Profile:
    """One profile with the backends of all, so that each can be allocated.

    It is as old as the newest and expires with the first. What stands beside the first stays.

    Args:
        profiles: at least one.

    Raises:
        SamplesError: they differ in device, bundle or runner, or two are of the same backend.
    """
    first = profiles[0]
    for other in profiles[1:]:
        for word, left, right in (
            ("device", first.target, other.target),
            ("bundle", first.bundle_sha256[:12], other.bundle_sha256[:12]),
            ("runner", first.runner_sha256[:12], other.runner_sha256[:12]),
        ):
            if left != right:
                raise SamplesError(
                    f"the samples are not of one {word}: {left} and {right}",
                    remedy="give those of one device's backends, and show other bundles --beside",
                )
    backends = [backend for profile in profiles for backend in profile.backends]
    names = [backend.backend for backend in backends]
    if len(set(names)) < len(names):
        raise SamplesError(
            f"two of the samples are of the same backend: {', '.join(names)}",
            remedy="give one samples folder for each backend",
        )
    return first.model_copy(
        update={
            "backends": tuple(backends),
            "measured_at": max(profile.measured_at for profile in profiles),
            "expires_at": min(profile.expires_at for profile in profiles),
        }
    )
