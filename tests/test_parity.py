"""The native runner against PyTorch and against llama.cpp, on bundles of every model family."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM

from android_harness.job import EvaluateTask, ProbeTask
from android_harness.records import EvaluationRecord, ProbeRecord
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.local_target import LocalTarget
from exporters.gguf.adapter import write_adapter
from exporters.gguf.export import LoraRequest, export_gguf
from exporters.gguf.llama_engine import LlamaEngine
from exporters.lora.attach import lora_parameters
from exporters.lora.directions import direction, draw_seeds
from exporters.lora.layout import TARGET_MODULES, parse_peft_name
from exporters.lora.peft_adapter import save_peft_adapter
from exporters.manifest import QUANTIZATIONS, Bundle, Quantization
from exporters.model_source import find_model
from tests.exporters.models import FAMILIES, random_llama

SEQUENCES, TOKENS, DIRECTIONS = 3, 20, 32
LORA = LoraRequest(rank=4, alpha=8.0, targets=TARGET_MODULES)


@dataclass(frozen=True)
class Case:
    """A bundle on this machine, LoRA values with nothing at zero, and sequences to predict."""

    bundle: Bundle
    runner: InstalledRunner
    values: NDArray[np.float32]
    sequences: NDArray[np.int64]  # [SEQUENCES, TOKENS + 1]
    folder: Path

    @property
    def examples(self) -> Path:
        path = self.folder / "examples.jsonl"
        rows = (
            {"tokens": row[:-1].tolist(), "targets": row[1:].tolist()} for row in self.sequences
        )
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    @property
    def placed_values(self) -> str:
        path = self.folder / "values.f32"
        path.write_bytes(self.values.astype("<f4").tobytes())
        return self.runner.place(path)

    def loss(self) -> float:
        records = self.runner.run(
            examples=self.examples,
            tasks=[EvaluateTask(batch=tuple(range(SEQUENCES)))],
            threads=2,
            lora_values=self.placed_values,
        )
        return next(record.loss for record in records if isinstance(record, EvaluationRecord))

    def slopes(self, seeds: list[int], *, epsilon: float) -> NDArray[np.float64]:
        task = ProbeTask(
            batch=tuple(range(SEQUENCES)),
            epsilon=epsilon,
            directions=tuple(seeds),
            directions_per_pass=4,
        )
        records = self.runner.run(
            examples=self.examples, tasks=[task], threads=2, lora_values=self.placed_values
        )
        measured = {
            record.direction: record.slope for record in records if isinstance(record, ProbeRecord)
        }
        return np.array([measured[seed] for seed in seeds])

    def torch_model(self) -> PeftModel:
        source = self.bundle.manifest.source
        if source.endswith(".gguf"):
            model = find_model(source).load_model()
        else:  # read by transformers alone, nothing of ours in between
            model = AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32, attn_implementation="eager"
            )
        adapter = self.folder / "peft"
        save_peft_adapter(adapter, self.bundle.manifest, self.values)
        return PeftModel.from_pretrained(model, str(adapter)).eval()


def make_case(model: str, folder: Path, quantization: Quantization = "f32") -> Case:
    bundle = export_gguf(
        model, folder / "bundle", quantization=quantization, lora=LORA, parity_directions=0
    )
    manifest = bundle.manifest
    generator = np.random.default_rng(5)
    sequences = generator.integers(
        3, manifest.architecture.vocabulary_size, size=(SEQUENCES, TOKENS + 1)
    )
    values = generator.normal(0, 0.1, size=manifest.lora.parameters).astype(np.float32)
    runner = install_runner(LocalTarget(folder / "device"), bundle)
    return Case(bundle, runner, values, sequences, folder)


def torch_loss(model: PeftModel, sequences: NDArray[np.int64]) -> torch.Tensor:
    tokens = torch.from_numpy(sequences)
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits.double()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def torch_slopes(case: Case, seeds: list[int]) -> NDArray[np.float64]:
    """The exact slopes, by `torch.func.jvp`."""
    model = case.torch_model()
    parameters = {name: value.detach() for name, value in lora_parameters(model).items()}
    tokens = torch.from_numpy(case.sequences)

    def loss(values: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = torch.func.functional_call(
            model, values, kwargs={"input_ids": tokens[:, :-1], "use_cache": False}
        ).logits
        return torch.nn.functional.cross_entropy(
            logits.double().flatten(0, 1), tokens[:, 1:].flatten()
        )

    def slope(seed: int) -> float:
        layout = case.bundle.manifest.lora
        matrices = {
            (tensor.layer, tensor.module, tensor.matrix): torch.from_numpy(matrix)
            for tensor, matrix in layout.unflatten(direction(seed, layout.parameters)).items()
        }
        tangents = {name: matrices[parse_peft_name(name)] for name in parameters}  # type: ignore[index]
        return float(torch.func.jvp(loss, (parameters,), (tangents,))[1])

    with torch.no_grad():
        return np.array([slope(seed) for seed in seeds])


@pytest.fixture(scope="module", params=[*FAMILIES, "stories260K"])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, runner_binary: Path
) -> Case:
    folder = tmp_path_factory.mktemp("parity")
    if request.param == "stories260K":
        data: Path = request.getfixturevalue("shared_data")
        return make_case(str(data / "stories260K/stories260K.gguf"), folder)
    return make_case(str(random_llama(folder / "model", **FAMILIES[request.param])), folder)


def test_f32_loss_is_pytorchs(case: Case) -> None:
    with torch.no_grad():
        expected = float(torch_loss(case.torch_model(), case.sequences))
    assert case.loss() == pytest.approx(expected, rel=1e-4)


def test_central_slopes_are_the_exact_derivatives(case: Case) -> None:
    seeds = draw_seeds(11, 1, DIRECTIONS)
    measured, exact = case.slopes(seeds, epsilon=1e-3), torch_slopes(case, seeds)
    cosine = measured @ exact / (np.linalg.norm(measured) * np.linalg.norm(exact))
    assert cosine > 0.999


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("model", ["random", "stories260K"])
def test_quantized_loss_is_llamacpps(
    model: str,
    quantization: Quantization,
    tmp_path: Path,
    runner_binary: Path,
    request: pytest.FixtureRequest,
) -> None:
    if model == "stories260K":
        data: Path = request.getfixturevalue("shared_data")
        source = str(data / "stories260K/stories260K.gguf")
    else:  # widths that every quantization can divide into its blocks
        source = str(
            random_llama(tmp_path / "model", hidden_size=256, intermediate_size=512, head_dim=64)
        )
    case = make_case(source, tmp_path, quantization)
    adapter = tmp_path / "adapter.gguf"
    manifest = case.bundle.manifest
    write_adapter(adapter, manifest.architecture, manifest.lora, case.values)
    with LlamaEngine(case.bundle.base, tokens=TOKENS) as engine, engine.adapter(adapter):
        expected = engine.loss(case.sequences)
    assert case.loss() == pytest.approx(expected, rel=1e-4 if quantization == "f32" else 1e-3)
