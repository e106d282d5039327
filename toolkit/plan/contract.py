"""What `fwdllm plan` says: each method's cost for a fleet, every figure with where it is from."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from device_bench.profiles.profile import Provenance
from exporters.contract import Contract, Part
from toolkit.allocation.contract import LeftOut


class Figure(Part):
    """The median over runs, with the smallest and largest of them."""

    value: NonNegativeFloat
    low: NonNegativeFloat
    high: NonNegativeFloat
    provenance: Provenance
    basis: str  # what it follows from


class MethodPlan(Part):
    """One method. None: not known from the inputs, or there is no such figure; `notes` say why.

    Bytes and joules are those of the whole fleet until the target; peak memory is the largest of
    the devices.
    """

    method: str
    runs: PositiveInt
    reached: NonNegativeInt  # of the runs
    backpropagates: bool
    head_only: bool
    seconds: Figure | None
    joules: Figure | None
    peak_memory_bytes: Figure | None
    bytes_down: Figure | None
    bytes_up: Figure | None
    devices: PositiveInt
    # Whose memory it does not fit in, or that cannot run it.
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


class Plan(Contract):
    """Methods compared for one fleet, task and target accuracy."""

    word: ClassVar[str] = "plan"

    task: str
    model: str
    target_accuracy: Annotated[float, Field(gt=0, le=1)]
    devices: PositiveInt
    left_out: tuple[LeftOut, ...]  # whose profiles cannot be used at all
    link_bits_per_s: PositiveFloat | None  # None: times are without the network's
    methods: tuple[MethodPlan, ...]
    verdicts: tuple[str, ...]
