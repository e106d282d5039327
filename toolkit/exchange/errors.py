"""What can go wrong between formats."""

from __future__ import annotations

from exporters.errors import FwdllmError


class ExchangeError(FwdllmError):
    """A file of another project cannot be read, or a profile says too little to write one."""
