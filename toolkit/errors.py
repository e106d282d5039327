"""What can go wrong on the server side, told apart."""

from __future__ import annotations

from exporters.errors import FwdllmError


class AllocationError(FwdllmError):
    """No allocation exists: nobody can take part, or the caps leave room for too few probes."""


class DataError(FwdllmError):
    """A data file, its columns or its labels cannot become training examples."""


class TrainingError(FwdllmError):
    """A training run cannot start, continue or be read back."""


class AllClientsFailedError(TrainingError):
    """No client gave a usable answer in a round."""
