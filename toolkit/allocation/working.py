"""The backends that an allocation lets work, as their profiles describe them."""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.profiles.profile import BackendProfile, Profile
from toolkit.allocation.contract import Allocation


def working_backends(profiles: Sequence[Profile], allocation: Allocation) -> list[BackendProfile]:
    """One for each device that has probes, in the order of the allocation."""
    # Of two profiles of a target the newer one was allocated: it comes last, and stays.
    by_target = {
        profile.target: profile
        for profile in sorted(profiles, key=lambda profile: profile.measured_at)
        if profile.bundle_sha256 == allocation.bundle_sha256
    }
    return [
        backend
        for device in allocation.devices
        if device.probes
        for backend in by_target[device.target].backends
        if backend.backend == device.backend
    ]
