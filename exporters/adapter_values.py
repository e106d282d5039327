"""The LoRA values that a bundle starts from, whatever its format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exporters.errors import ContractError
from exporters.gguf.adapter import read_adapter_values
from exporters.manifest import Bundle


def adapter_values(bundle: Bundle) -> NDArray[np.float32]:
    """The flat vector, float32 [parameters] in layout order, of the bundle's adapter.

    Raises:
        ContractError: the adapter's file is malformed, or not of the manifest's layout.
    """
    manifest = bundle.manifest
    if manifest.format == "gguf":
        return read_adapter_values(bundle.adapter, manifest.architecture, manifest.lora)
    values = np.fromfile(bundle.adapter, dtype="<f4").astype(np.float32)
    if values.size != manifest.lora.parameters:
        raise ContractError(
            f"the adapter has {values.size} values, its layout {manifest.lora.parameters}",
            remedy="export the bundle again",
            file=bundle.adapter,
        )
    return values
