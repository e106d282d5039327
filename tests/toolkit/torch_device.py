"""A device that probes exactly, in memory: the same interface as an installed native runner."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from android_harness.errors import RunnerFailedError
from android_harness.job import (
    AlongTask,
    EvaluateTask,
    Loss,
    Measuring,
    PrefixPolicy,
    ProbeTask,
    Task,
    VerbalizerLoss,
)
from android_harness.records import (
    AlongRecord,
    EvaluationRecord,
    LoadRecord,
    ProbeRecord,
    Record,
)
from android_harness.target import CommandResult, RemoteStat, Target
from exporters.gguf.adapter import read_adapter_values
from exporters.lora.combination import Combination, named_direction
from exporters.manifest import Bundle


class MemoryTarget(Target):
    """A target whose files are a dictionary."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.workspace = PurePosixPath("/memory")
        self.files: dict[str, bytes] = {}
        self.pushed_bytes = 0

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        raise NotImplementedError

    def stream(
        self, command: Sequence[str], *, timeout_s: float | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        raise NotImplementedError

    def push(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.files[str(remote)] = local.read_bytes()
        self.pushed_bytes += local.stat().st_size

    def append(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        offset: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def stat(self, remote: PurePosixPath) -> RemoteStat | None:
        raise NotImplementedError

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        local.write_bytes(self.files[str(remote)])

    def interrupt(self, thread: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class TorchDevice:
    """Evaluates the bundle's source model with LoRA in float32.

    `before_run` is called first in every run and may raise; `change` may alter its records.
    """

    def __init__(self, name: str, bundle: Bundle) -> None:
        self.target = MemoryTarget(name)
        self.bundle = bundle
        self.before_run: Callable[[], None] = lambda: None
        self.change: Callable[[list[Record]], list[Record]] = lambda records: records
        self.runs = 0
        self._model = AutoModelForCausalLM.from_pretrained(bundle.manifest.source).float().eval()
        self._layout = bundle.manifest.lora
        self._values = torch.zeros(self._layout.parameters)
        for layer in self._layout.layers:
            for name_in_layer, module in self._model.model.layers[layer].named_modules():
                self._adapt(layer, name_in_layer.rpartition(".")[2], module)

    def state_path(self, name: str) -> str:
        return str(self.target.workspace / "state" / name)

    def kept_prefix(self, size: int) -> PrefixPolicy:
        return PrefixPolicy(bytes=size)

    def run(
        self,
        *,
        examples: Path,
        tasks: Sequence[Task],
        loss: Loss | None = None,
        threads: int,
        lora_values: str | None = None,
        updates: Sequence[Combination] = (),
        lora_values_out: str | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        prefix: PrefixPolicy | None = None,
        memory_bytes: int | None = None,
        timeout_s: float | None = None,
    ) -> list[Record]:
        self.runs += 1
        self.before_run()
        values = self._load(lora_values)
        for update in updates:
            update.add_to(values, self._layout)
        if lora_values_out is not None:
            self.target.files[lora_values_out] = values.tobytes()
        lines = [json.loads(line) for line in examples.read_text().splitlines()]
        records: list[Record] = [_load_record(values)]
        for number, task in enumerate(tasks):
            batch = [lines[line] for line in task.batch]
            if isinstance(task, ProbeTask):
                records += self._probes(number, task, batch, values, loss)
            elif isinstance(task, AlongTask):
                records.append(self._along(number, task, batch, values, loss, files))
            elif isinstance(task, EvaluateTask):
                records.append(self._evaluation(number, batch, values, loss))
        return self.change(records)

    def _load(self, path: str | None) -> np.ndarray:
        if path is None:
            manifest = self.bundle.manifest
            return read_adapter_values(self.bundle.adapter, manifest.architecture, manifest.lora)
        content = self.target.files.get(path)
        if content is None:
            raise RunnerFailedError(
                "no such file", device=self.target.name, phase="lora_values", file=path
            )
        return np.frombuffer(content, dtype="<f4").copy()

    def _probes(
        self,
        number: int,
        task: ProbeTask,
        batch: list[dict[str, list[int]]],
        values: np.ndarray,
        loss: Loss | None,
    ) -> list[Record]:
        records: list[Record] = []
        for name in task.directions:
            v = named_direction(name, self._layout, task.distribution, task.support)
            slope, plus, minus = self._slope(task, v, batch, values, loss)
            records.append(
                ProbeRecord(
                    event="probe",
                    task=number,
                    direction=name,
                    slope=slope,
                    loss_plus=plus,
                    loss_minus=minus,
                )
            )
        return records

    def _along(
        self,
        number: int,
        task: AlongTask,
        batch: list[dict[str, list[int]]],
        values: np.ndarray,
        loss: Loss | None,
        files: Mapping[str, Path],
    ) -> Record:
        path = task.direction
        content = files[path].read_bytes() if path in files else self.target.files.get(path)
        if content is None or len(content) != 4 * len(values):
            raise RunnerFailedError(
                "no such direction", device=self.target.name, phase="direction", file=path
            )
        v = np.frombuffer(content, dtype="<f4")
        slope, plus, minus = self._slope(task, v, batch, values, loss)
        return AlongRecord(
            event="along", task=number, slope=slope, loss_plus=plus, loss_minus=minus
        )

    def _slope(
        self,
        task: Measuring,
        v: np.ndarray,
        batch: list[dict[str, list[int]]],
        values: np.ndarray,
        loss: Loss | None,
    ) -> tuple[float, float, float]:
        """The slope along v with its two losses."""
        if task.epsilon is None or task.estimator == "tangent":
            theta = torch.from_numpy(values).requires_grad_()
            mean = self._mean_loss(batch, theta, loss)[0]
            (gradient,) = torch.autograd.grad(mean, theta)
            loss_here = float(mean.detach())
            return float(gradient.double() @ torch.tensor(v).double()), loss_here, loss_here
        step = np.float32(task.epsilon) * v
        central = task.estimator == "central"
        plus = self._loss(batch, values + step, loss)[0]
        minus = self._loss(batch, values - step if central else values, loss)[0]
        return (plus - minus) / (task.epsilon * (2 if central else 1)), plus, minus

    def _evaluation(
        self, number: int, batch: list[dict[str, list[int]]], values: np.ndarray, loss: Loss | None
    ) -> Record:
        mean, predictions, positions = self._loss(batch, values, loss)
        return EvaluationRecord(
            event="evaluation",
            task=number,
            loss=mean,
            positions=positions,
            predictions=tuple(predictions),
            wall_ns=1,
            cpu_ns=1,
        )

    def _loss(
        self, batch: list[dict[str, list[int]]], values: np.ndarray, loss: Loss | None
    ) -> tuple[float, list[int], int]:
        """Mean loss, predictions (under a verbalizer), positions."""
        with torch.no_grad():
            mean, predictions, positions = self._mean_loss(batch, torch.from_numpy(values), loss)
        return float(mean), predictions, positions

    def _mean_loss(
        self, batch: list[dict[str, list[int]]], values: torch.Tensor, loss: Loss | None
    ) -> tuple[torch.Tensor, list[int], int]:
        self._values = values
        longest = max(len(example["tokens"]) for example in batch)
        tokens = torch.zeros(len(batch), longest, dtype=torch.long)
        targets = torch.full((len(batch), longest), -100)
        for row, example in enumerate(batch):
            tokens[row, : len(example["tokens"])] = torch.tensor(example["tokens"])
            targets[row, : len(example["targets"])] = torch.tensor(example["targets"])
        logits = self._model(input_ids=tokens).logits[targets != -100].double()
        wanted = targets[targets != -100]
        if not isinstance(loss, VerbalizerLoss):
            return torch.nn.functional.cross_entropy(logits, wanted), [], len(wanted)
        labels = torch.tensor(loss.tokens)
        logits = logits[:, labels] + torch.tensor(loss.shifts or [0.0], dtype=torch.float64)
        classes = (wanted[:, None] == labels).int().argmax(1)
        mean = torch.nn.functional.cross_entropy(logits, classes)
        return mean, labels[logits.argmax(1)].tolist(), len(wanted)

    def _adapt(self, layer: int, name: str, module: torch.nn.Module) -> None:
        pair = {t.matrix: t for t in self._layout.tensors if (t.layer, t.module) == (layer, name)}
        if not pair:
            return
        scale = self._layout.alpha / self._layout.rank

        def add_lora(
            _: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
        ) -> torch.Tensor:
            a, b = (self._values[pair[m].slice].reshape(pair[m].shape) for m in ("A", "B"))
            return output + scale * (inputs[0] @ a.T @ b.T)

        module.register_forward_hook(add_lora)


def _load_record(values: np.ndarray) -> LoadRecord:
    return LoadRecord(
        event="load",
        backend="torch",
        threads=1,
        cpu_mask=None,
        parameters=len(values),
        weight_bytes=1,
        wall_ns=1,
        cpu_ns=1,
        lora_sha256=hashlib.sha256(values.astype("<f4").tobytes()).hexdigest(),
    )
