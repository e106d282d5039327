"""What can go wrong in a simulated population."""

from __future__ import annotations

from exporters.errors import FwdllmError


class SimulationError(FwdllmError):
    """A model cannot be simulated as asked, or a simulated client cannot do what it was asked."""
