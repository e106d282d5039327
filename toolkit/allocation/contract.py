"""allocation.json: which device runs how many probes of a round, and what that will cost."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from android_harness.job import Estimator
from device_bench.costs.setting import Layers
from device_bench.profiles.profile import Provenance
from exporters.contract import Contract, Part

Probability = Annotated[float, Field(ge=0, le=1)]


class Modelled(Part):
    """A number with where it comes from."""

    value: NonNegativeFloat
    provenance: Provenance


class DeviceAllocation(Part):
    """The share of one device. Every cost is of one round.

    `probes` may be 0: the device could take part, but the others are done before it would be.
    `worth` is what one of its probes counts as, in probes of the round's batch; the weight of its
    slopes in the average. `availability` is the chance that its answer comes at all.
    """

    target: str
    backend: str
    probes: NonNegativeInt
    batch: PositiveInt
    directions_per_pass: PositiveInt
    layers: Layers | None = None  # whose LoRA moves; None: all adapted layers
    worth: PositiveFloat = 1.0
    availability: Probability = 1.0
    fixed_s: NonNegativeFloat = 0.0  # before its first probe
    seconds_per_probe: Modelled  # the median
    log_sigma: NonNegativeFloat = 0.0  # of ln(seconds per probe), which is taken as normal
    expected_s: NonNegativeFloat  # fixed_s + probes · seconds_per_probe, 0 without probes
    planned_s: NonNegativeFloat  # the same at the allocation's quantile
    late_probability: Probability = 0.0  # of being done after the deadline, or the makespan
    joules: Modelled | None = None  # None: its profile does not know
    peak_memory_bytes: Modelled
    memory_limit_bytes: PositiveInt | None  # None: the device's memory is unknown
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    warnings: tuple[str, ...] = ()


class LeftOut(Part):
    """A device that takes no part in the round, and why."""

    target: str
    reason: str


class Allocation(Contract):
    """The division of a round's probes over devices.

    Seconds are planned at `quantile`: a device stays below its planned seconds with that
    probability. `makespan_s` is when the last device is done by that plan; no division into whole
    probes has a smaller one. `lower_bound_s` is what it would be if probes could be split at will.

    `probes` are those wanted, of the batch `batch`, from devices that answer. `planned_probes`
    are those handed out: more where devices may be absent, other where batches differ.
    `over_provision` is their worth over the wanted one if everybody answers.
    """

    word: ClassVar[str] = "allocation"

    bundle_sha256: str
    probes: PositiveInt
    planned_probes: PositiveInt
    over_provision: PositiveFloat
    batch: PositiveInt
    tokens: PositiveInt
    estimator: Estimator
    quantile: Annotated[float, Field(gt=0, lt=1)]
    fixed_s: NonNegativeFloat  # per round and device, before its first probe
    deadline_s: PositiveFloat | None = None
    devices: tuple[DeviceAllocation, ...]
    left_out: tuple[LeftOut, ...]
    makespan_s: PositiveFloat
    lower_bound_s: PositiveFloat
    makespan_provenance: Provenance
    # Of the devices with probes: the expected share that is late, and the chance that none is.
    expected_late_share: Probability
    nobody_late_probability: Probability
    notes: tuple[str, ...] = ()
    made_at: datetime
