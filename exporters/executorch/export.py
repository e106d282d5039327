"""MODEL and LoRA to an ExecuTorch bundle."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.bundle_folder import Progress, describe, refuse_foreign_folder
from exporters.durable_files import folder_replaced_atomically
from exporters.errors import ExportError
from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.registry import backend_named
from exporters.executorch.calibration import calibration_of, narrow_masks
from exporters.executorch.delegation import delegation_of, refuse_portable
from exporters.executorch.engine import can_run
from exporters.executorch.lower import PROGRAM_NAME, WEIGHTS_NAME, Method, lower, write
from exporters.executorch.model import Model
from exporters.executorch.parity import measure_parity
from exporters.executorch.programs import describe as describe_program
from exporters.executorch.programs import inputs_of, program_module
from exporters.executorch.sizes import Kind, ProgramRequest, Sizes
from exporters.executorch.subject import Comparison, Subject, find_subject
from exporters.lora.attach import attach_lora
from exporters.lora.layout import LoraLayout
from exporters.lora.peft_adapter import PeftAdapter, read_peft_adapter
from exporters.lora.request import LoraRequest
from exporters.manifest import (
    MANIFEST_NAME,
    Bundle,
    Delegation,
    Manifest,
    Parity,
    Program,
    Quantization,
)
from exporters.parity_reference import Reference, measure_reference
from exporters.tokenizer import save_tokenizer

_ADAPTER_NAME = "adapter.f32"
_MAKERS = ("torch", "transformers", "peft", "executorch", "torchao", "numpy")


def export_executorch(
    model: str,
    out: Path,
    *,
    lora: LoraRequest,
    programs: ProgramRequest,
    classes: int | None = None,
    backend: str = "xnnpack",
    soc: str | None = None,
    quantization: str | None = None,
    allow_portable: bool = False,
    seed: int = 0,
    parity_directions: int = 8,
    on_progress: Progress | None = None,
) -> Bundle:
    """Writes a bundle of programs for a model and a LoRA adapter.

    The bundle appears at `out` whole or not at all; an older bundle there is replaced.

    Args:
        model: a Hugging Face folder, a hub id, or a LLaMA or Qwen2 GGUF file; a LLaMA-class model
            or an encoder.
        classes: of a new head of an encoder; None takes the checkpoint's head.
        soc: the chip, for backends that compile for one.
        quantization: None takes the backend's default.
        allow_portable: keep going where operations are left to ExecuTorch's portable kernels.
        seed: of a fresh adapter's A matrices, and of the tokens and directions of the parity
            measurement.
        parity_directions: directions in the slope cosine; 0 measures the loss alone.

    Raises:
        UnsupportedModelError: the model is not of a class that the programs implement.
        ExportError: anything else that keeps the bundle from being made.
    """
    report = on_progress or (lambda stage, done, total: None)
    refuse_foreign_folder(out)
    target = backend_named(backend, soc)
    chosen = _checked(target, quantization)
    target.check()
    os.environ.update(target.environment)
    subject = find_subject(model, classes)
    wanted = programs.sizes(subject.architecture)
    saved = None
    if lora.peft_folder is not None:
        saved = read_peft_adapter(lora.peft_folder, subject.architecture)
    else:
        if lora.targets == LoraRequest.targets:
            lora = replace(lora, targets=subject.query_and_value)
        lora.check_fresh(subject.architecture.layers, subject.lora_modules)
    tokenizer, tokenizer_kind = subject.load_tokenizer()
    with folder_replaced_atomically(out) as folder:
        module, layout, values, comparison, reference = _torch_stage(
            subject, lora, saved, wanted, seed, parity_directions, report
        )
        described = _programs_stage(
            folder,
            module,
            layout,
            values,
            comparison,
            wanted,
            target,
            chosen,
            allow_portable,
            report,
        )
        (folder / _ADAPTER_NAME).write_bytes(values.astype("<f4").tobytes())
        parity: Parity | None = None
        if can_run(target.runtime_name):
            parity = measure_parity(
                reference,
                comparison,
                folder,
                described,
                backend,
                values,
                on_progress=lambda done, total: report("parity: artifact", done, total),
            )
        libraries = _copied(target, folder)
        Manifest(
            source=subject.name,
            format="executorch",
            quantization=chosen,
            architecture=subject.architecture,
            tensor_types=(),
            lora=layout,
            files=(
                describe(folder, folder / WEIGHTS_NAME, "base"),
                describe(folder, folder / PROGRAM_NAME, "program"),
                describe(folder, folder / _ADAPTER_NAME, "adapter"),
                *(describe(folder, path, "library") for path in libraries),
                *(
                    describe(folder, path, "tokenizer")
                    for path in save_tokenizer(tokenizer, folder)
                ),
            ),
            tokenizer_kind=tokenizer_kind,
            parity=parity,
            versions={name: version(name) for name in _MAKERS},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            backend=target.name,
            soc=target.soc,
            environment=dict(target.environment),
            programs=described,
        ).write(folder / MANIFEST_NAME)
    return Bundle(out)


def _checked(backend: Backend, quantization: str | None) -> Quantization:
    for known in backend.quantizations:
        if quantization in (known, None):
            return known
    raise ExportError(
        f"{backend.name} does not compute {quantization}",
        remedy=f"choose from {', '.join(backend.quantizations)}",
    )


def _torch_stage(
    subject: Subject,
    lora: LoraRequest,
    saved: PeftAdapter | None,
    wanted: dict[str, tuple[Kind, Sizes]],
    seed: int,
    directions: int,
    report: Progress,
) -> tuple[Model, LoraLayout, NDArray[np.float32], Comparison, Reference]:
    """The model, its LoRA, and the numbers to compare the programs with."""
    report("load", 0, 1)
    model = subject.load_model(seed)
    report("load", 1, 1)
    peft_model, layout, values = attach_lora(model, lora, saved, seed)
    shortest = min(sizes.length for _, sizes in wanted.values())
    comparison = subject.compare(peft_model, layout, shortest, seed)
    reference = measure_reference(
        comparison.measured,
        comparison.sequences,
        layout,
        directions=directions,
        seed=seed,
        on_progress=lambda done, total: report("parity: reference", done, total),
    )
    return subject.module(peft_model.unload()), layout, values, comparison, reference


def _programs_stage(
    folder: Path,
    module: Model,
    layout: LoraLayout,
    values: NDArray[np.float32],
    comparison: Comparison,
    wanted: dict[str, tuple[Kind, Sizes]],
    backend: Backend,
    quantization: Quantization,
    allow_portable: bool,
    report: Progress,
) -> tuple[Program, ...]:
    """Writes program and weights, and describes the methods."""
    report("lower", 0, 1)
    nothing = Delegation(backend=backend.name, delegated=0, subgraphs=0, portable={})
    programs = {
        name: describe_program(kind, sizes, module, layout, nothing)
        for name, (kind, sizes) in wanted.items()
    }
    is_calibrated = backend.quantizer(quantization) is not None
    backend.quantize_weights(module, quantization)
    methods = {
        name: Method(
            program_module(kind, module, layout, sizes),
            tuple(inputs_of(kind, sizes, module, layout.parameters).values()),
            calibration_of(programs[name], comparison, values) if is_calibrated else (),
        )
        for name, (kind, sizes) in wanted.items()
    }
    if is_calibrated:
        for method in methods.values():
            narrow_masks(method.module)
    lowered = lower(methods, backend, quantization)
    delegations = {name: delegation_of(lowered, name, backend) for name in methods}
    if not allow_portable:
        refuse_portable(delegations.values(), backend)
    write(lowered, folder)
    report("lower", 1, 1)
    return tuple(
        program.model_copy(
            update={"delegation": delegations[name], "estimate": backend.estimate(name)}
        )
        for name, program in programs.items()
    )


def _copied(backend: Backend, folder: Path) -> list[Path]:
    """The backend's own files, in the bundle."""
    copies = []
    for name, path in backend.files().items():
        (folder / name).write_bytes(path.read_bytes())
        copies.append(folder / name)
    return copies
