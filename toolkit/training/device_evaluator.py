"""Evaluates LoRA values on held-out examples, through the native runner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from android_harness.errors import DeviceError
from android_harness.examples import Example
from android_harness.job import EvaluateTask
from android_harness.records import EvaluationRecord
from toolkit.clients.device_client import ProbeRunner
from toolkit.clients.values_file import values_file
from toolkit.gradient.forward_gradient import Values
from toolkit.training.contract import Evaluation, TrainingConfig


class DeviceEvaluator:
    """Evaluates on one runner, usually this machine's.

    Args:
        held_out: the examples, at least one.
        examples: the file of the same examples, on this machine.
        run_id: names the values' file on the runner's device.
    """

    def __init__(
        self,
        runner: ProbeRunner,
        held_out: Sequence[Example],
        *,
        examples: Path,
        run_id: str,
        config: TrainingConfig,
    ) -> None:
        self._runner = runner
        self._examples = examples
        self._path = runner.state_path(f"{run_id}-evaluation.f32")
        self._config = config
        size = config.evaluation_batch
        self._tasks = [
            EvaluateTask(batch=tuple(range(first, min(first + size, len(held_out)))))
            for first in range(0, len(held_out), size)
        ]
        self._targets = [target for example in held_out for target in example.target_ids]

    def evaluate(self, values: Values) -> Evaluation:
        """Mean loss over all targets and, where predictions come with it, their accuracy.

        Raises:
            DeviceError: the runner failed.
        """
        started = time.monotonic()
        with values_file(values) as local:
            self._runner.target.push(local, PurePosixPath(self._path))
        records = self._runner.run(
            examples=self._examples,
            tasks=self._tasks,
            loss=self._config.loss,
            threads=self._config.threads,
            lora_values=self._path,
            timeout_s=self._config.timeout_s,
        )
        parts = [record for record in records if isinstance(record, EvaluationRecord)]
        positions = sum(part.positions for part in parts)
        if positions != len(self._targets):
            raise DeviceError(
                f"it evaluated {positions} of {len(self._targets)} targets",
                device=self._runner.target.name,
            )
        predictions = [token for part in parts for token in part.predictions]
        hits = sum(p == t for p, t in zip(predictions, self._targets, strict=False))
        return Evaluation(
            loss=sum(part.loss * part.positions for part in parts) / positions,
            accuracy=hits / positions if len(predictions) == positions else None,
            positions=positions,
            seconds=time.monotonic() - started,
        )
