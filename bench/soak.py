"""Runs over fake phones on which everything goes wrong: is each done once, and nothing left?

The fleet's own pool gives the runs, each a probe of the native runner on a model of random
weights, to phones whose links break, stall and lie, whose daemons refuse, and which reboot. Every
slope must have the bits that the same probe has on this machine, undisturbed. Which faults come,
and after how long, is seeded; what they meet depends on the machine's pace.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from phone_faults import Chaos
from random_gguf import STORIES_260K, lora_layout, write_random_adapter, write_random_base

from android_harness.adb.link import AdbTimeouts
from android_harness.building.runner_build import build_runner
from android_harness.examples import Example, write_examples
from android_harness.fake_phone import FakePhone
from android_harness.fleet.device_pool import run_tasks
from android_harness.fleet.device_worker import Patience
from android_harness.fleet.events import FleetEvent, TaskDone, TaskUndone
from android_harness.fleet.task_queue import FleetTask, Report
from android_harness.job import ProbeTask
from android_harness.records import ProbeRecord
from android_harness.runs.installed_runner import install_runner
from android_harness.runs.journal import journaled_runs
from android_harness.target import Target
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from exporters.manifest import MANIFEST_NAME, Architecture, Bundle, BundleFile, Manifest

TIMEOUTS = AdbTimeouts(connect_s=5, authorize_s=5, reply_s=5)
PATIENCE = Patience(lost_s=60, tries=50, first_pause_s=0.1, longest_pause_s=1)
RUN_TIMEOUT_S = 30
FIRST_SEED = 1000
# Growth of this process that is noise: an arena of malloc's, a buffer of the kernel's.
FLAT_BYTES = 8 << 20

# Notes on the phone when the probe of a seed begins and when it has ended well.
RUNNER = """#!/bin/sh
seed=$(sed -n 's/.*"directions":\\[\\([0-9]*\\).*/\\1/p' "$1")
echo "start $seed" >>"$TMPDIR/soak.log"
sleep {pause_s}
{runner} "$@" || exit
echo "finish $seed" >>"$TMPDIR/soak.log"
"""


def make_bundle(folder: Path) -> Bundle:
    """A bundle with random weights in the shape of stories260K."""
    folder.mkdir()
    shape = STORIES_260K
    write_random_base(folder / "base.gguf", shape, "q8_0")
    write_random_adapter(folder / "adapter.gguf", shape)
    files = [
        BundleFile(
            name=f"{role}.gguf",
            role=role,
            bytes=(folder / f"{role}.gguf").stat().st_size,
            sha256=sha256_of(folder / f"{role}.gguf"),
        )
        for role in ("base", "adapter")
    ]
    Manifest(
        source="random weights",
        format="gguf",
        quantization="q8_0",
        architecture=Architecture(
            family="llama",
            layers=shape.layers,
            hidden_size=shape.hidden,
            feed_forward_size=shape.feed_forward,
            heads=shape.heads,
            key_value_heads=shape.key_value_heads,
            head_size=shape.head_size,
            vocabulary_size=shape.vocabulary,
            context_length=shape.context,
            rope_theta=10000.0,
            rope_scaling=None,
            rms_norm_epsilon=1e-5,
            tied_embeddings=False,
            attention_bias=False,
        ),
        tensor_types=(),
        lora=lora_layout(shape),
        files=tuple(files),
        tokenizer_kind="bpe",
        parity=None,
        versions={},
        created="2026-01-01T00:00:00Z",
    ).write(folder / MANIFEST_NAME)
    return Bundle(folder)


class MemoryWatch:
    """This process's resident memory beside the number of runs done so far."""

    def __init__(self) -> None:
        self._samples: list[tuple[int, int]] = []  # runs, bytes

    def sample(self, runs: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self._samples.append((runs, pages * os.sysconf("SC_PAGE_SIZE")))

    @property
    def _settled(self) -> list[tuple[int, int]]:
        """The second half of the runs; the first warms up."""
        return self._samples[len(self._samples) // 2 :]

    def bytes_per_run(self) -> float:
        """The slope of a straight line through them."""
        runs, resident = np.array(self._settled, dtype=np.float64).T
        return float(np.polyfit(runs, resident, 1)[0])

    def grown_bytes(self) -> int:
        resident = [each[1] for each in self._settled]
        return resident[-1] - resident[0]


def soak(runs: int, phones: int, seed: int, pause_s: float) -> dict[str, Any]:
    """Does the runs and returns what the module promises to look at.

    Args:
        pause_s: between two faults on a phone, on average.
    """
    seeds = [FIRST_SEED + number for number in range(runs)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FWDLLM_STATE"] = str(folder / "state")
        bundle, examples = make_bundle(folder / "bundle"), folder / "examples.jsonl"
        write_examples(examples, [Example(tuple(range(1, 17)), tuple(range(2, 18)))])
        with LocalTarget(folder / "local") as here:
            undisturbed = slopes(here, bundle, examples, seeds)
        before = open_things()
        begun = time.monotonic()
        found = soaked(seeds, phones, seed, pause_s, bundle, examples, folder)
        found["seconds"] = round(time.monotonic() - begun, 1)
        found["wrong_slopes"] = sum(
            each in found["slopes"] and found["slopes"][each] != slope
            for each, slope in zip(seeds, undisturbed, strict=True)
        )
        del found["slopes"]
        found["threads_and_files"] = {"before": before, "after": open_things()}
    return found


def soaked(
    seeds: Sequence[int],
    phones: int,
    seed: int,
    pause_s: float,
    bundle: Bundle,
    examples: Path,
    folder: Path,
) -> dict[str, Any]:
    """The runs, over phones that are switched off afterwards."""
    runner = folder / "fwdllm-runner"
    runner.write_text(RUNNER.format(pause_s=0.2, runner=build_runner()))
    runner.chmod(0o755)
    results: dict[int, float] = {}
    twice, undone = [], []
    faults: Counter[str] = Counter()
    events: Counter[str] = Counter()
    memory = MemoryWatch()

    def on_event(event: FleetEvent) -> None:
        events[type(event).__name__] += 1
        if isinstance(event, TaskDone):
            if int(event.task) in results:
                twice.append(event.task)
            results[int(event.task)] = event.result
            memory.sample(len(results))
        elif isinstance(event, TaskUndone):
            undone.append(f"{event.task}: {event.error}")

    def task_for(each: int) -> FleetTask:
        def work(target: Target, report: Report) -> float:
            (slope,) = slopes(target, bundle, examples, [each], runner)
            return slope

        return FleetTask(str(each), work)

    with ExitStack() as stack:
        fleet = [stack.enter_context(FakePhone()) for _ in range(phones)]
        chaos = [Chaos(phone, seed * 1000 + n, pause_s) for n, phone in enumerate(fleet)]
        try:
            run_tasks(
                [task_for(each) for each in seeds],
                [phone.target for phone in fleet],
                on_event=on_event,
                open_device=lambda spec: open_target(spec, timeouts=TIMEOUTS),
                patience=PATIENCE,
            )
        finally:
            for each in chaos:
                each.end()
                faults += each.done
        starts, finishes = noted(fleet)
        for phone in fleet:  # a last run on each, as the next command would do
            with open_target(phone.target, timeouts=TIMEOUTS) as target:
                slopes(target, bundle, examples, [FIRST_SEED - 1], runner)
        return {
            "runs": len(seeds),
            "slopes": results,
            "results": len(results),
            "results_twice": twice,
            "undone": undone,
            "started_on_phones": sum(starts.values()),
            "finished_on_phones": sum(finishes.values()),
            "finished_more_than_once": sum(count > 1 for count in finishes.values()),
            "results_never_finished": sum(finishes[each] == 0 for each in results),
            "faults": dict(sorted(faults.items())),
            "events": dict(sorted(events.items())),
            "processes_left": sum(len(left_running(phone)) for phone in fleet),
            "runs_left_in_journal": len(journaled_runs()),
            "run_folders_left": sum(len(run_folders(phone)) for phone in fleet),
            "memory_bytes_per_run": round(memory.bytes_per_run()),
            "memory_grown_bytes": memory.grown_bytes(),
        }


def slopes(
    target: Target,
    bundle: Bundle,
    examples: Path,
    seeds: Sequence[int],
    runner: Path | None = None,
) -> list[float]:
    """Of the directions with these seeds, one a pass: whatever else is measured, the same bits."""
    installed = install_runner(target, bundle, runner=runner, patience_s=PATIENCE.lost_s / 2)
    task = ProbeTask(
        batch=(0,), estimator="tangent", directions=tuple(seeds), directions_per_pass=1
    )
    records = installed.run(
        examples=examples,
        tasks=[task],
        threads=1,
        timeout_s=RUN_TIMEOUT_S,
        name=f"soak-{seeds[0]}",
    )
    return [record.slope for record in records if isinstance(record, ProbeRecord)]


def noted(fleet: Sequence[FakePhone]) -> tuple[Counter[int], Counter[int]]:
    """How often the run of each seed began, and ended well, on all phones together."""
    starts: Counter[int] = Counter()
    finishes: Counter[int] = Counter()
    for phone in fleet:
        log = phone.root.resolve("/data/local/tmp/soak.log")
        for line in log.read_text().splitlines() if log.exists() else []:
            what, seed = line.split()
            (starts if what == "start" else finishes)[int(seed)] += 1
    return starts, finishes


def left_running(phone: FakePhone) -> list[int]:
    """What still runs some seconds after the last command."""
    end = time.monotonic() + 5
    while (running := phone.running_processes()) and time.monotonic() < end:
        time.sleep(0.1)
    return running


def run_folders(phone: FakePhone) -> list[Path]:
    return list(phone.root.resolve("/data/local/tmp/fwdllm/runs").iterdir())


def open_things() -> dict[str, int]:
    """Threads and open files of this process."""
    return {
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def broken_claims(found: dict[str, Any]) -> list[str]:
    """What of all that should hold does not."""
    things = found["threads_and_files"]
    claims = {
        "every run has one result": found["results"] == found["runs"]
        and not found["results_twice"]
        and not found["undone"],
        "every slope measured has the bits of an undisturbed one": found["wrong_slopes"] == 0,
        "every result is of a run that ended well": found["results_never_finished"] == 0,
        "no process is left on a phone": found["processes_left"] == 0,
        "no run folder is left on a phone": found["run_folders_left"] == 0,
        "no run is left in the journal": found["runs_left_in_journal"] == 0,
        "memory is flat": found["memory_grown_bytes"] <= FLAT_BYTES,
        "threads and files are as before": things["before"] == things["after"],
    }
    return [claim for claim, holds in claims.items() if not holds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--phones", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument(
        "--pause-s", type=float, default=0.4, help="between two faults on a phone, on average"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if min(options.runs, options.phones) < 1 or options.pause_s <= 0:
        parser.error("runs and phones are at least 1, the pause is above 0")
    found = soak(options.runs, options.phones, options.seed, options.pause_s)
    found["broken"] = broken_claims(found)
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:>24} {value}" for name, value in found.items()))
    sys.exit(bool(found["broken"]))


if __name__ == "__main__":
    main()
