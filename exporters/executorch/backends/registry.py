"""All backends by name."""

from __future__ import annotations

from exporters.errors import ExportError
from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.ethos_u import EthosU
from exporters.executorch.backends.mediatek import Mediatek
from exporters.executorch.backends.openvino import Openvino
from exporters.executorch.backends.qnn import Qnn
from exporters.executorch.backends.samsung import Samsung
from exporters.executorch.backends.vgf import Vgf
from exporters.executorch.backends.vulkan import Vulkan
from exporters.executorch.backends.xnnpack import Xnnpack

BACKENDS: tuple[type[Backend], ...] = (
    Xnnpack,
    Vulkan,
    Qnn,
    Mediatek,
    Samsung,
    EthosU,
    Vgf,
    Openvino,
)


def backend_named(name: str, soc: str | None = None) -> Backend:
    """The backend, for a chip where its programs are compiled for one.

    Raises:
        ExportError: there is no such backend, or it does not compile for the chip.
    """
    for backend in BACKENDS:
        if backend.name == name:
            return backend(soc)
    raise ExportError(
        f"there is no backend {name!r}",
        remedy=f"choose from {', '.join(each.name for each in BACKENDS)}",
    )
