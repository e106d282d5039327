"""What can go wrong while planning."""

from __future__ import annotations

from exporters.errors import FwdllmError


class PlanError(FwdllmError):
    """No plan follows from the inputs: no usable device, or no row for the target."""
