"""Named settings of the server: FwdLLM as published, this project's own, and its neighbours.

What each method is known for is kept, on LoRA parameters and over the same clients, so that runs
differ by the algorithm alone. docs/rules.md says what is left out.
"""

from __future__ import annotations

from typing import Any, Literal

from toolkit.pacing.fixed import FixedPacing
from toolkit.pacing.fwdllm_gate import FwdllmGate
from toolkit.sampling.plain import PlainSampling
from toolkit.sampling.seed_pool import SeedPool
from toolkit.sampling.tensor_filter import TensorFilter
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.server_update.yogi import YogiStep

Method = Literal["default", "fwdllm", "mezo", "fedkseed", "spry"]

_SETTINGS: dict[Method, dict[str, Any]] = {
    "default": {
        "estimator": "tangent",
        "pacing": FixedPacing(),
        "sampling": PlainSampling(),
        "update": TrustRatioStep(),
    },
    # Xu et al., USENIX ATC 2024, as the authors' code has it for their small models.
    "fwdllm": {
        "estimator": "central",
        "epsilon": 0.01,
        "distribution": "gaussian",
        "pacing": FwdllmGate(tau=0.1),
        "sampling": TensorFilter(candidates=10, every=2),
        "update": SgdStep(rate=0.01, annealing="linear"),
    },
    # Malladi et al., NeurIPS 2023: directions that all clients share; with one probe per client,
    # one per step.
    "mezo": {
        "estimator": "central",
        "epsilon": 0.01,
        "distribution": "gaussian",
        "shared_directions": True,
        "pacing": FixedPacing(),
        "sampling": PlainSampling(),
        "update": SgdStep(rate=1e-3, annealing="none"),
    },
    # Qin et al., ICML 2024: directions from a pool of 4096.
    "fedkseed": {
        "estimator": "central",
        "epsilon": 5e-4,
        "distribution": "gaussian",
        "pacing": FixedPacing(),
        "sampling": SeedPool(size=4096),
        "update": SgdStep(rate=0.01, annealing="none"),
    },
    # Panchal et al., NeurIPS 2024: exact slopes, each client moves its own layers, FedYogi.
    "spry": {
        "estimator": "tangent",
        "distribution": "gaussian",
        "split_layers": True,
        "pacing": FixedPacing(),
        "sampling": PlainSampling(),
        "update": YogiStep(),
    },
}


def settings_of(method: Method) -> dict[str, Any]:
    """The fields of `TrainingConfig` that the method decides."""
    return dict(_SETTINGS[method])
