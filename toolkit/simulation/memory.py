"""Peak memory of one client's step under each method, measured on this machine.

Every step runs in a process of its own, which reads its peak resident set from Linux. It is the
memory of PyTorch on this machine's processor: ratios between methods carry over to other
runtimes, absolute sizes do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from transformers import AutoModel, PreTrainedModel

from exporters.contract import Part
from exporters.lora.directions import direction
from toolkit.simulation.encoder_model import EncoderTuning, encoder_model
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.prefix_cache import CachePolicy
from toolkit.simulation.token_store import TokenStore
from toolkit.simulation.torch_model import Batch, TorchModel

MemoryMethod = Literal[
    "central-1",
    "central-8",
    "tangent-1",
    "tangent-8",
    "exact-head",
    "reverse-lora",
    "reverse-full-adam",
]
MEMORY_METHODS: tuple[MemoryMethod, ...] = (
    "central-1",
    "central-8",
    "tangent-1",
    "tangent-8",
    "exact-head",
    "reverse-lora",
    "reverse-full-adam",
)

# Freed tensors go back to the system at once, so that the resident set is what is in use.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


class MemorySetting(Part):
    """The encoder folder, what of it is trained, and the batch: `batch` examples of `tokens`.

    `threads` is how many PyTorch computes with.
    """

    folder: Path
    tuning: EncoderTuning
    batch: PositiveInt = 8
    tokens: PositiveInt = 64
    threads: PositiveInt = 1
    first_token: NonNegativeInt = 1000  # ids are consecutive from here


class MemoryRow(Part):
    """Bytes, all measured.

    `loaded`: resident when the model is in memory and before the step. `peak`: the most resident
    during the step, whose own part is `step` = `peak` − `loaded`.
    """

    method: MemoryMethod
    loaded: int
    peak: int

    @property
    def step(self) -> int:
        return self.peak - self.loaded


def measure_memory(
    setting: MemorySetting, methods: Sequence[MemoryMethod] = MEMORY_METHODS
) -> list[MemoryRow]:
    """One step of each method, in the order given, each in a fresh process.

    A step of `central-K`, `tangent-K` and `reverse-lora` runs the frozen layers and then the
    adapted ones; `tangent-K` is forward-mode AD with K directions in one pass. `reverse-lora`
    is one reverse pass with Adam on LoRA and head, `reverse-full-adam` on all weights.

    Raises:
        SimulationError: a process failed; the message is the last line that it wrote.
    """
    return [_in_fresh_process(setting, method) for method in methods]


def _in_fresh_process(setting: MemorySetting, method: MemoryMethod) -> MemoryRow:
    environment = os.environ | _ALLOCATOR | {"OMP_NUM_THREADS": str(setting.threads)}
    finished = subprocess.run(
        [sys.executable, "-m", __name__, method],
        input=setting.model_dump_json(),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if finished.returncode != 0:
        reason = finished.stderr.strip().rpartition("\n")[2]
        raise SimulationError(f"measuring {method} failed: {reason}", file=setting.folder)
    loaded, peak = json.loads(finished.stdout.splitlines()[-1])
    return MemoryRow(method=method, loaded=loaded, peak=peak)


def _measure_here(setting: MemorySetting, method: MemoryMethod) -> tuple[int, int]:
    """(loaded, peak) in bytes, of this process."""
    torch.set_num_threads(setting.threads)
    encoder = AutoModel.from_pretrained(setting.folder, attn_implementation="eager").eval()
    # Weights of a mapped file would become resident during the step.
    for parameter in encoder.parameters():
        parameter.data = parameter.data.clone()
    if method == "reverse-full-adam":
        step = _full_adam(encoder, setting)
    else:
        step = _of_model(encoder, setting, method)
    _warm_up(encoder, setting)
    _reset_peak()
    loaded = _status_bytes("VmRSS")
    step()
    return loaded, _status_bytes("VmHWM")


def _of_model(
    encoder: PreTrainedModel, setting: MemorySetting, method: MemoryMethod
) -> Callable[[], object]:
    model = encoder_model(encoder, setting.tuning)
    sequence = range(setting.first_token, setting.first_token + setting.tokens)
    store = TokenStore.labelled([sequence] * setting.batch, [0] * setting.batch)

    def step() -> object:
        # Nothing is kept of the frozen layers but what the batch itself holds.
        batch = model.prepare(store, CachePolicy(bytes=0)).batch(range(setting.batch))
        if method == "exact-head":
            return model.head_gradient(model.initial, batch)
        if method == "reverse-lora":
            return _lora_adam(model, batch)
        estimator, count = method.split("-")
        return model.slopes(
            model.initial,
            batch,
            np.stack([direction(seed, model.parameters) for seed in range(1, int(count) + 1)]),
            estimator="central" if estimator == "central" else "tangent",
            directions_per_pass=int(count),
            by="jvp",
        )

    return step


def _lora_adam(model: TorchModel, batch: Batch) -> torch.Tensor:
    vector = torch.nn.Parameter(torch.from_numpy(model.initial.copy()))
    vector.grad = torch.from_numpy(model.gradient(model.initial, batch).values)
    torch.optim.Adam([vector]).step()
    return vector


def _full_adam(encoder: Any, setting: MemorySetting) -> Callable[[], object]:
    """A step of ordinary fine-tuning by Hugging Face's own modules."""
    head = torch.nn.Linear(encoder.config.hidden_size, setting.tuning.classes)
    ids = torch.arange(setting.first_token, setting.first_token + setting.tokens)

    def step() -> object:
        optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()])
        states = encoder(input_ids=ids.repeat(setting.batch, 1)).last_hidden_state
        labels = torch.zeros(setting.batch, dtype=torch.long)
        torch.nn.functional.cross_entropy(head(states.mean(1)), labels).backward()
        optimizer.step()
        return optimizer

    return step


def _warm_up(encoder: PreTrainedModel, setting: MemorySetting) -> None:
    """Has libraries load the code and tables that they load once, by steps of little data."""
    with torch.no_grad():
        encoder(input_ids=torch.full((1, 2), setting.first_token))
    weight = torch.nn.Parameter(torch.ones(64, 64))
    torch.nn.functional.gelu(torch.ones(64, 64) @ weight).sum().backward()
    torch.optim.Adam([weight]).step()
    torch.func.vmap(
        lambda tangent: torch.func.jvp(
            lambda one: torch.softmax(one @ one, -1).sum(), (weight.detach(),), (tangent,)
        )[1]
    )(torch.ones(2, 64, 64))


def _reset_peak() -> None:
    """Loading may have needed more than what stays."""
    Path("/proc/self/clear_refs").write_text("5")


def _status_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise SimulationError(f"this system does not report {key}")


if __name__ == "__main__":
    asked: Any = sys.argv[1]
    print(json.dumps(_measure_here(MemorySetting.model_validate_json(sys.stdin.read()), asked)))
