"""The comparison in sentences: who wins, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.plan.contract import MethodPlan


def verdicts(methods: Sequence[MethodPlan], target: float, devices: int) -> Iterator[str]:
    """What the figures say about backpropagation against forward gradients, by time.

    The fastest of each kind stands for it. `devices` is the size of the fleet.
    """
    for method in methods:
        yield from _obstacles(method, target, devices)
    backward = _fastest(method for method in methods if method.backpropagates)
    forward = _fastest(
        method for method in methods if not method.backpropagates and not method.head_only
    )
    head = _fastest(method for method in methods if method.head_only)
    if backward is not None and forward is not None:
        yield _race(backward, forward, target, devices)
    elif backward is not None:
        yield _alone(backward, "forward-gradient", target)
    elif forward is not None:
        yield _alone(forward, "backpropagation", target)
    if head is not None and all(
        _seconds(head) <= _seconds(other) for other in (backward, forward) if other is not None
    ):
        yield (
            f"training the head alone is fastest: {head.method} reaches {target:g} in "
            f"{duration(_seconds(head))} (modelled), so this target needs no LoRA"
        )


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _obstacles(method: MethodPlan, target: float, devices: int) -> Iterator[str]:
    short = sum("memory" in left.reason for left in method.left_out)
    if short:
        memory = method.peak_memory_bytes
        needs = (
            f" (it needs up to {memory.value / 1e6:.3g} MB, {memory.provenance})" if memory else ""
        )
        yield f"{method.method} does not fit in the memory of {short} of {devices} devices{needs}"
    if not method.reached:
        yield f"{method.method} did not reach {target:g} in its runs"
    elif method.seconds is None and not short:
        yield f"{method.method} cannot be priced here: no profile tells what its work costs"


def _alone(method: MethodPlan, other: str, target: float) -> str:
    return (
        f"no {other} method of the table that can be priced here reaches {target:g}; "
        f"{method.method} does in {duration(_seconds(method))} (modelled)"
    )


def _race(backward: MethodPlan, forward: MethodPlan, target: float, devices: int) -> str:
    ours, theirs = _seconds(forward), _seconds(backward)
    winner, loser = (backward, forward) if theirs < ours else (forward, backward)
    word = "backpropagation wins" if winner is backward else "forward gradients win"
    ratio = max(ours, theirs) / min(ours, theirs)
    text = (
        f"{word} here: {winner.method} reaches {target:g} in {duration(_seconds(winner))}, "
        f"{loser.method} in {duration(_seconds(loser))}, {ratio:.3g} times as long (modelled)"
    )
    if backward.left_out:
        text += (
            f"; {backward.method} on the {devices - len(backward.left_out)} of {devices} devices "
            "that can run it, without the data of the others"
        )
    if backward.peak_memory_bytes is None:
        text += f"; whether {backward.method} fits in their memory is not known"
    return text


def _fastest(methods: Iterator[MethodPlan]) -> MethodPlan | None:
    return min(
        (method for method in methods if method.seconds is not None), key=_seconds, default=None
    )


def _seconds(method: MethodPlan) -> float:
    assert method.seconds is not None
    return method.seconds.value
