"""Between two jobs of a sweep: the device is asked once how it fares, and cools down if it must."""

from __future__ import annotations

import time
from collections.abc import Callable

from android_harness.errors import LOST, DeviceError
from android_harness.facts.device_facts import DeviceFacts
from android_harness.facts.device_status import DeviceStatus, read_device_status
from android_harness.target import Target
from device_bench.policies.conditions import Boundary, JobConditions
from device_bench.policies.cooldown import POLL_S, CooldownGate, GatePassed


class JobBoundaries:
    """Asks a device around its jobs; what it said after one serves as what it says before the next.

    Args:
        patience_s: how long a device is waited for that is lost between two jobs.
        tell: called with what is waited for, and once with why nothing is waited for.
    """

    def __init__(
        self,
        target: Target,
        facts: DeviceFacts,
        gate: CooldownGate,
        *,
        patience_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self._target = target
        self._facts = facts
        self._gate = gate
        self._patience_s = patience_s
        self._tell = tell
        self._told_why_not = False
        self._last: tuple[float, DeviceStatus] | None = None

    def before_job(self) -> GatePassed:
        """Waits at the gate.

        Raises:
            DeviceError: the device was lost and stayed away, or cannot be asked.
        """
        passed = self._gate.wait(self._look, self._tell, self._fresh())
        if passed.outcome == "no temperature" and not self._told_why_not:
            self._told_why_not = True
            self._tell("the device tells no temperature: no job waits for it to cool down")
        return passed

    def after_job(self, passed: GatePassed) -> JobConditions:
        """What held around the job that followed `passed`; the job's result is never lost by it."""
        try:
            status = read_device_status(self._target)
            self._last = (time.monotonic(), status)
            after = Boundary.from_status(self._facts, status)
        except DeviceError:
            after = None
        return JobConditions(
            before=Boundary.from_status(self._facts, passed.status),
            after=after,
            gate=passed.outcome,
            waited_s=passed.waited_s,
        )

    def _fresh(self) -> DeviceStatus | None:
        """What the device said after the last job, if that was just now; it serves once."""
        last, self._last = self._last, None
        return last[1] if last is not None and time.monotonic() - last[0] < POLL_S else None

    def _look(self) -> DeviceStatus:
        try:
            return read_device_status(self._target)
        except LOST:
            self._target.wait_for(timeout_s=self._patience_s)
            return read_device_status(self._target)
