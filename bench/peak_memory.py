"""Peak resident memory of one step on a batch: the native runner, and training by PyTorch.

The runner measures slopes along K directions by `tangent`, LoRA of rank 8 on q and v of all layers;
its peak is VmHWM of the whole process, loading included. PyTorch trains the same shape in float32
by backpropagation and Adam: LoRA alone, that with gradient checkpointing, and all weights. Each is
a fresh process that makes two steps; its peak is VmHWM after the model is built, less what was
resident once the libraries had done a small step (`library_bytes`). So `ratios`, PyTorch's peak
over the runner's, count everything against the runner and nothing but the model and its step
against PyTorch; `process_ratios` count both processes whole.

The runner takes the batch whole, and again in the memory that the fewest of the asked directions
needed (`budget_bytes`), where it goes through the model in parts.

A step that would take more than `--limit-gb` is `modelled`: the line through the peaks of the same
model with 2 and 4 layers. A peak is the largest of several sums that are linear in the number of
layers, so this line is never above the truth by more than those two measurements' noise.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from random_gguf import (
    STORIES_15M,
    STORIES_110M,
    TINYLLAMA_1B,
    Shape,
    write_random_adapter,
    write_random_base,
)

from android_harness.building.runner_build import build_runner
from android_harness.job import Job, ProbeTask
from android_harness.records import LoadRecord, MemoryRecord, parse_records

SHAPES = {"stories15M": STORIES_15M, "stories110M": STORIES_110M, "tinyllama-1.1B": TINYLLAMA_1B}
Method = Literal["lora", "lora-checkpointed", "full"]
METHODS: tuple[Method, ...] = ("lora", "lora-checkpointed", "full")
_RANK = 8
_LINE = (2, 4)  # layers
# Freed tensors go back to the system at once, so that the resident set is what is in use.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


@dataclass(frozen=True)
class Setting:
    """`loss`: at all positions, or at the last of each sequence."""

    shape: Shape
    loss: str
    batch: int
    tokens: int
    threads: int


# The native runner --------------------------------------------------------------------------


def measure_runner(
    folder: Path, setting: Setting, directions: int, budget: int | None
) -> tuple[MemoryRecord, int]:
    """Memory and bytes of weights in it, of a job on base.gguf and lora.gguf in the folder."""
    targets = [5 if setting.loss == "all" else -100] * (setting.tokens - 1) + [5]
    line = json.dumps({"tokens": list(range(3, 3 + setting.tokens)), "targets": targets})
    (folder / "examples.jsonl").write_text(f"{line}\n" * setting.batch)
    task = ProbeTask(
        batch=tuple(range(setting.batch)),
        estimator="tangent",
        directions=tuple(range(1, directions + 1)),
        directions_per_pass=directions,
    )
    job = Job(
        model="base.gguf",
        adapter="lora.gguf",
        examples="examples.jsonl",
        threads=setting.threads,
        memory_bytes=budget,
        tasks=(task,),
    )
    job.write(folder / "job.json")
    records = parse_records(_output([build_runner(), folder / "job.json"]), device="local")
    (load,) = (record for record in records if isinstance(record, LoadRecord))
    (memory,) = (record for record in records if isinstance(record, MemoryRecord))
    return memory, load.weight_bytes


# PyTorch ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peak:
    """Bytes; `library` is not in `step`."""

    step: float
    library: int


def measure_torch(setting: Setting, method: Method) -> Peak:
    """In a fresh process."""
    command = [sys.executable, __file__, "--child", method, json.dumps(asdict(setting))]
    process = {"OMP_NUM_THREADS": str(setting.threads), "PYTHONWARNINGS": "ignore"}
    peak, library = json.loads(_output(command, os.environ | _ALLOCATOR | process))
    return Peak(peak - library, library)


def line_through(setting: Setting, method: Method) -> Peak:
    few, more = (
        measure_torch(replace(setting, shape=replace(setting.shape, layers=layers)), method)
        for layers in _LINE
    )
    slope = (more.step - few.step) / (_LINE[1] - _LINE[0])
    return Peak(few.step + slope * (setting.shape.layers - _LINE[0]), few.library)


def _measure_here(setting: Setting, method: Method) -> tuple[int, int]:
    """(peak, resident libraries) of this process in bytes."""
    torch.set_num_threads(setting.threads)
    small = replace(setting, shape=Shape(2, 64, 128, 2, 2, 512), batch=2)
    _train(_model(small, method), small)
    gc.collect()
    library = _status_bytes("VmRSS")
    model = _model(setting, method)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    _train(model, setting)
    return _status_bytes("VmHWM"), library


def _model(setting: Setting, method: Method) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = setting.shape
    model = LlamaForCausalLM(
        LlamaConfig(
            num_hidden_layers=shape.layers,
            hidden_size=shape.hidden,
            intermediate_size=shape.feed_forward,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_value_heads,
            vocab_size=shape.vocabulary,
            max_position_embeddings=shape.context,
            tie_word_embeddings=False,
            use_cache=False,
        )
    )
    if method == "full":
        return model.train()
    if method == "lora-checkpointed":
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    adapted = LoraConfig(r=_RANK, lora_alpha=2 * _RANK, target_modules=["q_proj", "v_proj"])
    return get_peft_model(model, adapted).train()


def _train(model: Any, setting: Setting) -> None:
    """Two steps: from the second on, Adam's moments are there while activations are."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    ids = torch.arange(3, 3 + setting.tokens).repeat(setting.batch, 1)
    kept = setting.tokens if setting.loss == "all" else 1
    for _ in range(2):
        optimizer.zero_grad()
        logits = model(input_ids=ids, logits_to_keep=kept).logits.flatten(0, 1)
        targets = torch.full((len(logits),), 5)
        torch.nn.functional.cross_entropy(logits, targets).backward()
        del logits
        optimizer.step()


def _status_bytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _output(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return done.stdout


# Rows ---------------------------------------------------------------------------------------


def measure(name: str, loss: str, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    setting = Setting(SHAPES[name], loss, options.batch, options.tokens, options.threads)
    common: dict[str, object] = {
        "model": name,
        "loss": loss,
        "batch": setting.batch,
        "tokens": setting.tokens,
    }
    peaks: dict[Method, Peak] = {}
    for method in METHODS:
        line = line_through(setting, method)
        fits = line.step + line.library <= options.limit_gb * 1e9
        peak = peaks[method] = measure_torch(setting, method) if fits else line
        yield {
            **common,
            "method": f"PyTorch {method}",
            "kind": "measured" if fits else "modelled",
            "bytes": round(peak.step),
            "line_bytes": round(line.step),
            "library_bytes": peak.library,
        }
    for quantization in options.quantizations.split(","):
        with tempfile.TemporaryDirectory() as folder:
            write_random_base(Path(folder) / "base.gguf", setting.shape, quantization)
            write_random_adapter(Path(folder) / "lora.gguf", setting.shape, _RANK)
            least, *more = map(int, options.directions.split(","))
            budget = None
            for directions, bounded in [(least, False), *itertools.product(more, (False, True))]:
                memory, weight_bytes = measure_runner(
                    Path(folder), setting, directions, budget if bounded else None
                )
                budget = budget or memory.predicted_bytes
                ours = memory.vm_hwm_bytes
                yield {
                    **common,
                    "method": "runner tangent",
                    "quantization": quantization,
                    "directions": directions,
                    "budget_bytes": budget if bounded else None,
                    "kind": "measured",
                    "bytes": ours,
                    "predicted_bytes": memory.predicted_bytes,
                    "weight_bytes": weight_bytes,
                    "ratios": {m: peak.step / ours for m, peak in peaks.items()},
                    "process_ratios": {
                        m: (peak.step + peak.library) / ours for m, peak in peaks.items()
                    },
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--models", default=",".join(SHAPES))
    parser.add_argument("--quantizations", default="q4_0,q8_0")
    parser.add_argument("--losses", default="all,last", help="positions that have a target")
    parser.add_argument("--directions", default="1,8")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit-gb", type=float, default=12, help="above it, steps are modelled")
    options = parser.parse_args()
    for name in options.models.split(","):
        for loss in options.losses.split(","):
            for row in measure(name, loss, options):
                print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, Any]) -> str:
    head = f"{row['model']:>15}, loss at {row['loss']:<4} {row['method']}"
    size = f"{row['bytes'] / 1e6:.0f} MB ({row['kind']})"
    if "quantization" not in row:
        return f"{head}, f32: {size}"
    ratios = ", ".join(f"{method} {ratio:.1f}x" for method, ratio in row["ratios"].items())
    parts = " in parts" if row["budget_bytes"] else ""
    return f"{head}, {row['quantization']}, K={row['directions']}{parts}: {size}; PyTorch: {ratios}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        asked: Any = sys.argv[2]
        made = json.loads(sys.argv[3])
        print(json.dumps(_measure_here(Setting(**made | {"shape": Shape(**made["shape"])}), asked)))
    else:
        main()
