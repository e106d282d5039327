"""Who takes part in a run, with how many probes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from toolkit.allocation.contract import Allocation
from toolkit.errors import TrainingError
from toolkit.training.contract import RunDescription, TrainingConfig
from toolkit.training.replica import ProbeRunner


def probes_of(
    runners: Sequence[ProbeRunner], config: TrainingConfig, allocation: Allocation | None
) -> dict[str, tuple[int, int]]:
    """{target: (probes, directions per pass)}, each at least 1, in the order of the runners.

    With an allocation its shares, else equal ones. Devices without any probe are left out.

    Raises:
        TrainingError: a target is given twice, or the allocation is for other probes or devices.
    """
    names = [runner.target.name for runner in runners]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or twice:
        raise TrainingError(
            f"the target {twice[0]} is given twice" if twice else "training needs a target"
        )
    if allocation is None:
        least, more = divmod(config.probes, len(names))
        equal = {name: least + (position < more) for position, name in enumerate(names)}
        return {name: (n, config.directions_per_pass) for name, n in equal.items() if n}
    _check(allocation, names, config)
    chosen = {device.target: device for device in allocation.devices if device.probes}
    return {
        name: (chosen[name].probes, chosen[name].directions_per_pass)
        for name in names
        if name in chosen
    }


def probes_of_run(
    description: RunDescription, runners: Sequence[ProbeRunner]
) -> dict[str, tuple[int, int]]:
    """What `probes_of` gave when the run began.

    Raises:
        TrainingError: the targets are not those that the run began with.
    """
    names = {runner.target.name for runner in runners}
    absent = sorted({share.target for share in description.shares} - names)
    if absent:
        raise TrainingError(
            f"the run began with {', '.join(absent)}, which is not among the targets",
            remedy="give the targets of the first invocation, or another --out",
        )
    return {share.target: (share.probes, share.directions_per_pass) for share in description.shares}


def _check(allocation: Allocation, names: Sequence[str], config: TrainingConfig) -> None:
    allocated = {device.target for device in allocation.devices if device.probes}
    absent = sorted(allocated - set(names))
    if absent:
        raise TrainingError(
            f"the allocation gives probes to {', '.join(absent)}, which is not among the targets",
            remedy="give the targets that were allocated, or allocate again",
        )
    for field in ("probes", "batch", "estimator"):
        planned, asked = getattr(allocation, field), getattr(config, field)
        if planned != asked:
            raise TrainingError(
                f"the allocation is for {field} {planned}, the run for {asked}",
                remedy="allocate again with the settings of the run",
            )
