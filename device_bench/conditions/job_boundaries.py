"""Between two jobs of a sweep: the device is asked once how it fares, and cools down if it must."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress

from android_harness.errors import LOST, DeviceError
from android_harness.facts.device_facts import DeviceFacts
from android_harness.facts.device_status import DeviceStatus, read_device_status
from android_harness.target import Target
from device_bench.conditions.cooldown import POLL_S, CooldownGate, GatePassed
from device_bench.conditions.job_conditions import Boundary, JobConditions

# Called with what is waited for, and after how many of at most how many seconds.
Tell = Callable[[str, float, float], None]


class JobBoundaries:
    """Asks a device around its jobs; what it said after one serves as what it says before the next.

    Args:
        patience_s: how long a device is waited for that is lost between two jobs.
        tell: called at each look while a job waits, and once with why no job can.

    Attributes:
        last: how the device fared when it was last asked; None: it was not.
    """

    def __init__(
        self,
        target: Target,
        facts: DeviceFacts,
        *,
        patience_s: float,
        gate: CooldownGate | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.last: DeviceStatus | None = None
        self._target = target
        self._facts = facts
        self._patience_s = patience_s
        self._gate = gate or CooldownGate()
        self._tell = tell or (lambda words, waited_s, patience_s: None)
        self._told_why_not = False
        self._asked_after_s = -math.inf  # when a job had just ended, by this machine's clock

    def resume(self, first: JobConditions | None) -> None:
        """Takes the temperatures before a sweep's first job for those at its begin."""
        if first is not None and first.before.celsius:
            self._gate.heat_at_begin = first.before.celsius

    def before_job(self) -> GatePassed:
        """Waits at the gate.

        Raises:
            DeviceError: the device was lost and stayed away, or cannot be asked.
        """
        just_asked = time.monotonic() - self._asked_after_s < POLL_S
        self._asked_after_s = -math.inf
        passed = self._gate.wait(self._look, self._tell, self.last if just_asked else None)
        if passed.outcome == "no temperature" and not self._told_why_not:
            self._told_why_not = True
            self._tell("no job waits for the device to cool down: it tells no temperature", 0, 1)
        return passed

    def after_job(self, passed: GatePassed) -> JobConditions:
        """What held around the job that followed `passed`; the job's result is never lost by it."""
        after = None
        with suppress(DeviceError):
            after = Boundary.from_status(self._facts, self._ask())
            self._asked_after_s = time.monotonic()
        return JobConditions(
            before=Boundary.from_status(self._facts, passed.status),
            after=after,
            gate=passed.outcome,
            waited_s=passed.waited_s,
        )

    def _look(self) -> DeviceStatus:
        try:
            return self._ask()
        except LOST:
            self._target.wait_for(timeout_s=self._patience_s)
            return self._ask()

    def _ask(self) -> DeviceStatus:
        self.last = read_device_status(self._target)
        return self.last
