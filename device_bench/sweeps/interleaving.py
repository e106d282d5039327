"""In which order the jobs of several sweeps take turns on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from device_bench.plans.sweep_plan import Slot
from device_bench.samples.outstanding import due_in
from device_bench.sweeps.bundle_sweep import BundleSweep


def interleaved(sweeps: Sequence[BundleSweep]) -> Iterator[tuple[BundleSweep, Slot]]:
    """The missing jobs of all sweeps of one device, block after block.

    To be measured before the next is asked for: what a block holds depends on the samples of those
    before it.
    """
    for block in range(max(sweep.plan.most_blocks for sweep in sweeps)):
        due = [due_in(block, sweep.plan, sweep.sweep.order, sweep.measurements) for sweep in sweeps]
        measured = [{each.slot for each in sweep.measurements} for sweep in sweeps]
        for number, slot in in_turn(block, due, sweeps[0].plan.seed):
            if slot not in measured[number]:
                yield sweeps[number], slot


def in_turn(block: int, due: Sequence[Sequence[Slot]], seed: int) -> Iterator[tuple[int, Slot]]:
    """The jobs of a block of several sweeps, each with the number of its sweep.

    The sweeps take turns at random, so that bundles and backends meet the same slow changes of
    the device. Each keeps its own order, and another sweep beside it changes nothing in that.
    """
    turns = np.repeat(np.arange(len(due)), [len(slots) for slots in due])
    queues = [iter(slots) for slots in due]
    for number in np.random.default_rng([seed, block]).permutation(turns):
        yield int(number), next(queues[number])
