"""What an allocation has to respect, and what it may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.errors import AllocationError


@dataclass(frozen=True)
class Limits:
    """What no device may exceed in a round; None: no limit.

    `memory_bytes` replaces half of each device's own memory; `joules` and `deadline_s` hold for
    each device and round; `probes` are caps by target, and absent devices have none.
    """

    memory_bytes: int | None = None
    joules: float | None = None
    deadline_s: float | None = None
    probes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "joules", "deadline_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise AllocationError(f"the limit {name} is above 0, not {value}")
        if any(cap < 0 for cap in self.probes.values()):
            raise AllocationError("a cap on probes is not negative")


@dataclass(frozen=True)
class Floor:
    """The fewest probes of every device that takes part, so that its data count.

    A device gets at least `probes`, and at least `share` of its proportional part: probes in
    proportion to its `examples` (by target), or an equal part where those are not given. Where a
    device's limits allow fewer, it gets those.
    """

    probes: int = 0
    share: float = 0.0
    examples: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.probes < 0 or not 0 <= self.share <= 1:
            raise AllocationError("a floor is not negative, and its share is from 0 to 1")
        if any(count < 0 for count in self.examples.values()):
            raise AllocationError("numbers of examples are not negative")


@dataclass(frozen=True)
class Batches:
    """Batches that a device may choose from, beside the one that was asked for.

    `noise_scale` is the batch at which the noise of the examples' gradients is as large as the
    gradient: tr(Σ) / ‖g‖² (McCandlish et al., An Empirical Model of Large-Batch Training, 2018).
    The variance of a slope times its direction is proportional to 1 + noise_scale / batch, while
    a device runs far fewer probes than there are parameters. So a probe is worth
    batch / (batch + noise_scale) of one without that noise.
    """

    candidates: tuple[int, ...]
    noise_scale: float

    def __post_init__(self) -> None:
        if not self.candidates or min(self.candidates) < 1 or not self.noise_scale >= 0:
            raise AllocationError("batches are at least 1, and their noise scale not negative")

    def worth(self, batch: int, reference: int) -> float:
        """The worth of a probe in probes of the reference batch."""
        return batch / (batch + self.noise_scale) * (reference + self.noise_scale) / reference
