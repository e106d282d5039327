"""A bundle: architecture, quantization, LoRA, parity and files."""

from __future__ import annotations

from exporters.manifest import Bundle
from toolkit.report.content import Section, Table, columns


def bundle_section(bundle: Bundle, anchor: str) -> Section:
    """What was exported, and how near it is to the PyTorch model."""
    manifest = bundle.manifest
    architecture, lora, parity = manifest.architecture, manifest.lora, manifest.parity
    facts = [
        ("model", f"{architecture.family}, from {manifest.source}"),
        (
            "shape",
            f"{architecture.layers} layers, hidden {architecture.hidden_size}, feed-forward "
            f"{architecture.feed_forward_size}, {architecture.heads} heads "
            f"({architecture.key_value_heads} key-value), vocabulary "
            f"{architecture.vocabulary_size}",
        ),
        ("base weights", manifest.quantization),
        (
            "LoRA",
            f"rank {lora.rank}, alpha {lora.alpha:g}, {lora.parameters:,} parameters in layers "
            f"{lora.layers[0]} to {lora.layers[-1]}",
        ),
    ]
    if parity is not None:
        facts.append(
            (
                "parity with PyTorch (measured)",
                f"loss {parity.artifact_loss:.6f} against {parity.reference_loss:.6f}, relative "
                f"difference {parity.relative_loss_difference:.1e}",
            )
        )
        if parity.slope_cosine is not None:
            facts.append(
                (
                    "slope cosine (measured)",
                    f"{parity.slope_cosine:.6f} over {parity.directions} directions",
                )
            )
    files = Table(
        "Files",
        columns("file", "role", "#bytes", "SHA-256"),
        [
            (file.name, file.role, f"{file.bytes:,}", file.sha256[:16] + "…")
            for file in manifest.files
        ],
    )
    return Section(bundle.folder.name, anchor, facts, tables=[files])
