"""The cooldown gate: a job begins when the device is cool enough, asked of the device itself.

Workload Automation's delay before a job is of this kind (`wa/instruments/delay.py`: until a sensor
is below a temperature, looked at every 5 s, for 600 s at most). A fixed sleep is too short for
one phone and too long for another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from android_harness.facts.device_status import DeviceStatus
from android_harness.facts.fitness import WARMEST_C
from device_bench.conditions.heat import HeatGroup, heat_of

COOL_C = WARMEST_C
PATIENCE_S = 600.0
POLL_S = 5.0
# Chips are above 37 degrees whenever they work, and phones in a hot room always.
_MARGIN_C = 3.0

GateOutcome = Literal["off", "no temperature", "cool", "cooled down", "timed out"]


@dataclass(frozen=True)
class GatePassed:
    """How a job came through the gate, and the device's last word before it."""

    outcome: GateOutcome
    waited_s: float
    status: DeviceStatus


@dataclass
class CooldownGate:
    """Waits until each group of sensors is at most at its limit, and never for ever.

    The limit of a group is `above_c`, or what the group had at the sweep's begin and 3 degrees,
    whichever is higher: all jobs begin alike. A group that told one and the same number at every
    look of a wait that ran out is taken for stuck, and counts no more.

    Args:
        above_c: degrees Celsius; None: no job waits.
        patience_s: how long a job waits at most.
        heat_at_begin: temperatures at the sweep's begin, by group; None: those of the first look.
        clock, sleep: for tests.
    """

    above_c: float | None = COOL_C
    patience_s: float = PATIENCE_S
    heat_at_begin: Mapping[HeatGroup, float] | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _stuck: set[HeatGroup] = field(default_factory=set)

    def wait(
        self,
        look: Callable[[], DeviceStatus],
        tell: Callable[[str, float, float], None],
        status: DeviceStatus | None = None,
    ) -> GatePassed:
        """Returns as soon as the device is cool, or as patience ends.

        Args:
            look: asks the device.
            tell: called at every look with what is waited for, the seconds so far, and at most.
            status: the device's word of just now; None: it is asked first.

        Raises:
            DeviceError: whatever `look` raises.
        """
        status = status or look()
        heat = self._heat(status)
        if self.above_c is None:
            return GatePassed("off", 0.0, status)
        if self.heat_at_begin is None:
            self.heat_at_begin = heat
        if not heat:
            return GatePassed("no temperature", 0.0, status)
        began, looks = self.clock(), [heat]
        while hot := self._above_limit(heat):
            waited_s = self.clock() - began
            if waited_s >= self.patience_s:
                self._stuck |= {group for group in hot if _never_moved(group, looks)}
                return GatePassed("timed out", waited_s, status)
            tell(self._words(hot, heat), waited_s, self.patience_s)
            self.sleep(min(POLL_S, self.patience_s - waited_s))
            status = look()
            # A hot sensor that falls silent has not cooled down.
            heat = {**heat, **self._heat(status)}
            looks.append(heat)
        outcome: GateOutcome = "cool" if len(looks) == 1 else "cooled down"
        return GatePassed(outcome, self.clock() - began if len(looks) > 1 else 0.0, status)

    def _heat(self, status: DeviceStatus) -> dict[HeatGroup, float]:
        return {
            group: celsius for group, celsius in heat_of(status).items() if group not in self._stuck
        }

    def _limit_c(self, group: HeatGroup) -> float:
        assert self.above_c is not None
        at_begin_c = (self.heat_at_begin or {}).get(group)
        return self.above_c if at_begin_c is None else max(self.above_c, at_begin_c + _MARGIN_C)

    def _above_limit(self, heat: Mapping[HeatGroup, float]) -> list[HeatGroup]:
        return [group for group, celsius in heat.items() if celsius > self._limit_c(group)]

    def _words(self, hot: list[HeatGroup], heat: Mapping[HeatGroup, float]) -> str:
        waits = " and ".join(
            f"{group} {heat[group]:.1f} °C to reach {self._limit_c(group):.0f} °C" for group in hot
        )
        return f"cooling down, waits for {waits}, {self.patience_s:.0f} s at most"


def _never_moved(group: HeatGroup, looks: list[dict[HeatGroup, float]]) -> bool:
    return len(looks) > 1 and len({heat.get(group) for heat in looks}) == 1
