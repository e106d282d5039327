"""How fast files get onto a device, beside `adb push` over the same link.

Arms take turns in random order: `verified` (`ContentStore.place` of a file whose hash is known, as
a bundle's are: room, content, size and hash on the device), `content` (`Target.append`: the content
alone) and `adb` (`adb push`, which verifies nothing). Content is random and new in each round, so
nothing is there already and nothing is compressed. `ratio` is adb's time over ours in the same
round: 1.2 is 1.2 times as fast. For adb-tcp targets adb gets a server of its own; for adb:SERIAL it
uses the one that runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from android_harness.pushing.content_store import ContentStore
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from exporters.errors import FwdllmError


@contextmanager
def adb_for(spec: str, adb: str) -> Iterator[list[str]]:
    """The beginning of an adb command that reaches the target."""
    kind, _, address = spec.partition(":")
    if kind == "adb":
        yield [adb, "-s", address]
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = [adb, "-P", str(port)]
    try:
        subprocess.run([*server, "connect", address], check=True, capture_output=True)
        command = [*server, "-s", address]
        subprocess.run([*command, "wait-for-device"], check=True, timeout=30)
        yield command
    finally:
        subprocess.run([*server, "kill-server"], check=True, capture_output=True)


def one_round(target: Target, adb: list[str], file: Path) -> dict[str, float]:
    """Seconds of each arm, in random order; what was pushed is removed again."""
    folder = target.workspace / "push-speed"
    digest = sha256_of(file)
    arms = {
        "verified": lambda: ContentStore(target).place(file, sha256=digest),
        "content": lambda: target.append(file, folder / "content"),
        "adb": lambda: subprocess.run(
            [*adb, "push", file, str(folder / "adb")], check=True, capture_output=True
        ),
    }
    target.check(["mkdir", "-p", str(folder)])
    seconds = {}
    for arm in random.sample(list(arms), len(arms)):
        started = time.perf_counter()
        placed = arms[arm]()
        seconds[arm] = time.perf_counter() - started
        remains = [str(placed)] if arm == "verified" else []
        target.check(["rm", "-rf", str(folder / "content"), str(folder / "adb"), *remains])
    target.check(["rm", "-rf", str(folder)])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="adb:SERIAL or adb-tcp:HOST:PORT")
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--adb", default="adb", help="the adb program")
    parser.add_argument("--json", action="store_true", help="one JSON object an arm")
    options = parser.parse_args()
    if min(options.megabytes, options.rounds) < 1:
        parser.error("megabytes and rounds are at least 1")
    if options.target == "local":
        parser.error("adb does not reach the target local")
    rounds = []
    with (
        tempfile.TemporaryDirectory() as here,
        open_target(options.target) as target,
        adb_for(options.target, options.adb) as adb,
    ):
        file = Path(here) / "content"
        megabyte = os.urandom(1_000_000)
        for _ in range(options.rounds):
            with file.open("wb") as content:
                content.write(os.urandom(1_000_000))
                for _ in range(options.megabytes - 1):
                    content.write(megabyte)
            rounds.append(one_round(target, adb, file))
    for arm in ("verified", "content", "adb"):
        ratios = [seconds["adb"] / seconds[arm] for seconds in rounds]
        row = {
            "arm": arm,
            "target": options.target,
            "megabytes": options.megabytes,
            "rounds": options.rounds,
            "megabytes_per_s": options.megabytes
            / statistics.median(seconds[arm] for seconds in rounds),
            "ratio": statistics.median(ratios),
            "ratio_lowest": min(ratios),
            "ratio_highest": max(ratios),
        }
        if options.json:
            print(json.dumps(row))
        else:
            print(
                f"{arm:>9} {row['megabytes_per_s']:8.0f} MB/s, {row['ratio']:.2f} times adb push "
                f"({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f})"
            )


if __name__ == "__main__":
    try:
        main()
    except FwdllmError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}: {(error.stderr or b'').decode(errors='replace')}")
