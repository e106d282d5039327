"""manifest.json: what a bundle holds and what its artifacts compute."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat, model_validator

from exporters.contract import Contract, Part
from exporters.durable_files import sha256_of
from exporters.errors import ContractError
from exporters.lora.combination import Seed
from exporters.lora.layout import LoraLayout

MANIFEST_NAME = "manifest.json"
# Of the base weights: f32 in any bundle, then those of GGUF, then those of ExecuTorch.
Quantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_k_m", "int8", "8da4w", "16a8w", "16a4w"]
GgufQuantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_k_m"]
QUANTIZATIONS: tuple[GgufQuantization, ...] = ("f32", "f16", "q8_0", "q4_0", "q4_k_m")


class Architecture(Part):
    """Shapes of a LLaMA-class decoder or of an encoder classifier; sizes in elements."""

    family: str  # the Hugging Face model_type: llama, mistral, qwen2, bert, ...
    layers: int
    hidden_size: int
    feed_forward_size: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary_size: int
    context_length: int
    rope_theta: float | None  # None: learned positions
    rope_scaling: str | None  # None, "linear", "llama3"
    rms_norm_epsilon: float  # of encoders: of their LayerNorm
    tied_embeddings: bool
    attention_bias: bool
    classes: int | None = None  # of an encoder classifier; None: a language model


# library: what a backend needs on the device beside the programs.
FileRole = Literal["base", "adapter", "tokenizer", "program", "library"]


class BundleFile(Part):
    """A file of the bundle, by its name relative to the manifest."""

    name: str
    role: FileRole
    bytes: int
    sha256: str


class SlopeReference(Part):
    """Exact slopes of the PyTorch model, with all that is needed to measure them elsewhere.

    `slopes` are the derivatives, in nats per unit of direction, of the mean loss over every token
    of `sequences` but the first of each, at the values of the bundle's adapter; forward-mode
    differentiation in float32 of the weights before they were quantized. `directions` name
    Rademacher directions over all LoRA parameters.
    """

    # Token ids, all of one length; each token predicts its next.
    sequences: tuple[tuple[int, ...], ...] = Field(min_length=1)
    directions: tuple[Seed, ...] = Field(min_length=1)
    slopes: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _one_slope_for_each_direction(self) -> SlopeReference:
        if len(self.slopes) != len(self.directions):
            raise ValueError(f"{len(self.slopes)} slopes for {len(self.directions)} directions")
        return self


class Parity(Part):
    """How far the artifact's numbers are from the PyTorch model's, measured at export.

    Losses are mean nats per predicted token over `sequences` × `tokens` random tokens.
    `slope_cosine` and `slope_error` compare the artifact's slopes with the exact directional
    derivatives of the PyTorch model over `directions` Rademacher directions: its tangents, or,
    with an `epsilon`, its central differences. Those derivatives are kept in `reference`, so that
    a device can be compared with them too.
    """

    engine: str  # what evaluated the artifact, e.g. "llama-cpp-python 0.3.36"
    sequences: int
    tokens: int
    reference_loss: float
    artifact_loss: float
    relative_loss_difference: float
    directions: int
    epsilon: float | None
    slope_cosine: float | None  # None when no direction was asked for
    slope_error: float | None = None  # |difference| / |exact slopes|; None in older bundles too
    reference: SlopeReference | None = None  # None without directions, and in older bundles


class TensorTypes(Part):
    """How many tensors of each type the base has for one class of tensors."""

    tensor_class: Literal["embedding", "attention", "feed_forward", "norm", "bias", "output"]
    types: dict[str, int]


class ProgramTensor(Part):
    """An input or output of a program."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int, ...]


class Delegation(Part):
    """Which operations of a program the backend computes; counts of graph nodes."""

    backend: str
    delegated: int
    subgraphs: int
    portable: dict[str, int]  # left to ExecuTorch's portable kernels, by operation


class CompilerEstimate(Part):
    """What an NPU's compiler expects of one run of a program's delegated parts.

    Modelled, not measured: no processor ran the program. Numbers are sums over the parts, which
    run one after another; memory is that of the part that needs most.
    """

    provenance: Literal["modelled"] = "modelled"
    compiler: str  # name and version
    processor: str
    system: str  # the compiler's name of the memory system: clocks, widths and latencies
    memory_mode: str  # the compiler's name of what lies in which memory
    clock_hz: float
    parts: int
    cycles: int
    runs_per_second: float  # at that clock
    multiply_accumulates: int
    # By memory: sram, dram, on_chip_flash, off_chip_flash. Those that are not used are left out.
    traffic_bytes: dict[str, int]
    weight_bytes: dict[str, int]  # the part of the traffic that is weights
    memory_bytes: dict[str, int]


class Program(Part):
    """One method of an ExecuTorch program: a computation of fixed sizes.

    A `loss` program computes the losses of `slots` copies of the model that differ in their LoRA,
    a `tangent` program the loss and its exact slopes along `slots` directions. Both sum weighted
    losses of at most `positions` positions over `batch` sequences of `length` tokens, so that a
    batch of any size runs in parts.
    """

    file: str
    method: str
    kind: Literal["loss", "tangent"]
    batch: int = Field(gt=0)
    length: int = Field(gt=0)
    positions: int = Field(gt=0)
    slots: int = Field(gt=0)
    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    delegation: Delegation
    estimate: CompilerEstimate | None = None


class Manifest(Contract):
    """The description of a bundle.

    A bundle of format `gguf` has its model in one file; one of format `executorch` has `programs`
    for a `backend`, all of which read their weights from the `base` file.
    """

    word: ClassVar[str] = "bundle manifest"

    source: str  # the MODEL argument of the export
    format: Literal["gguf", "executorch"]
    quantization: Quantization
    architecture: Architecture
    tensor_types: tuple[TensorTypes, ...]
    lora: LoraLayout
    files: tuple[BundleFile, ...]
    tokenizer_kind: Literal["sentencepiece", "bpe", "wordpiece", "unigram"]
    parity: Parity | None  # None when nothing here can run the artifact
    versions: dict[str, str]  # package -> version of everything that made the bundle
    created: str  # ISO 8601, UTC
    backend: str | None = None
    soc: str | None = None  # the chip that the programs are compiled for; None: they suit any
    # What a process needs in its environment before it loads the programs.
    environment: dict[str, str] = Field(default_factory=dict)
    programs: tuple[Program, ...] = ()

    def file(self, role: str) -> BundleFile:
        return next(file for file in self.files if file.role == role)

    @model_validator(mode="after")
    def _programs_are_executorch(self) -> Manifest:
        if (self.format == "executorch") != bool(self.programs and self.backend):
            raise ValueError(f"a bundle of format {self.format} with {len(self.programs)} programs")
        return self


class Bundle:
    """A bundle on this machine: its folder and its manifest.

    Raises:
        ContractError: the folder has no valid manifest, or a file is missing or of another size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest.read(folder / MANIFEST_NAME)
        for file in self.manifest.files:
            path = folder / file.name
            if not path.is_file() or path.stat().st_size != file.bytes:
                raise ContractError(
                    f"the bundle's {file.role} is missing or not {file.bytes} bytes long",
                    remedy="export the bundle again",
                    file=path,
                )

    @property
    def base(self) -> Path:
        return self.folder / self.manifest.file("base").name

    @property
    def adapter(self) -> Path:
        return self.folder / self.manifest.file("adapter").name

    @property
    def sha256(self) -> str:
        """The identity of the bundle: the hash of its manifest, which holds all file hashes."""
        return sha256_of(self.folder / MANIFEST_NAME)
