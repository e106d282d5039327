"""What can go wrong with a sweep or with the samples it left."""

from __future__ import annotations

from exporters.errors import FwdllmError


class SweepSettingsError(FwdllmError):
    """The asked-for sweep cannot be measured, e.g. an arm has more tokens than the context."""


class SweepMismatchError(FwdllmError):
    """The SAMPLES folder holds a sweep with other settings, so it cannot be resumed."""


class NumericGateError(FwdllmError):
    """A backend computes another loss than was exported, or slopes that are noise."""


class SamplesError(FwdllmError):
    """The samples of a SAMPLES folder are damaged, or there are none to fit a profile from."""


class PopulationError(FwdllmError):
    """No population can be modelled from what there is, or of the devices that were asked for."""


class ComparisonError(FwdllmError):
    """Two folders of samples have nothing that could be compared."""
