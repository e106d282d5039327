"""In which order the jobs of several sweeps take turns on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from device_bench.bundle_sweep import BundleSweep
from device_bench.outstanding import due_in
from device_bench.plan import Slot


def interleaved(sweeps: Sequence[BundleSweep]) -> Iterator[tuple[BundleSweep, Slot]]:
    """The missing jobs of all sweeps of one device, block after block.

    Within a block the sweeps take turns at random, so that bundles and backends meet the same
    slow changes of the device. Each keeps its own order, and another sweep beside it changes
    nothing in that. To be measured before the next is asked for.
    """
    for block in range(max(sweep.plan.most_blocks for sweep in sweeps)):
        due = [due_in(block, sweep.plan, sweep.sweep.order, sweep.measurements) for sweep in sweeps]
        measured = [{each.slot for each in sweep.measurements} for sweep in sweeps]
        turns = np.repeat(np.arange(len(sweeps)), [len(slots) for slots in due])
        generator = np.random.default_rng([sweeps[0].plan.seed, block])
        queues = [iter(slots) for slots in due]
        for turn in generator.permutation(turns):
            slot = next(queues[turn])
            if slot not in measured[turn]:
                yield sweeps[turn], slot
