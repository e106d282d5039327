"""All backends by name."""

from __future__ import annotations

from exporters.errors import ExportError
from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.vulkan import Vulkan
from exporters.executorch.backends.xnnpack import Xnnpack

_BACKENDS: tuple[type[Backend], ...] = (Xnnpack, Vulkan)


def backend_named(name: str) -> Backend:
    """Raises ExportError where there is no such backend."""
    for backend in _BACKENDS:
        if backend.name == name:
            return backend()
    raise ExportError(
        f"there is no backend {name!r}",
        remedy=f"choose from {', '.join(each.name for each in _BACKENDS)}",
    )
