"""A host in a process of its own: `python host_process.py FOLDER FIRST COUNT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from toolkit.clients.threads import ThreadFleet
from toolkit.federation.logs import log_to_stderr
from toolkit.federation.supernode import run_supernode

sys.path.insert(0, str(Path(__file__).parent))
from tiny_client import TinyClient


def main() -> None:
    log_to_stderr()
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

    def open_fleet(settings: str) -> ThreadFleet:
        delay_s = json.loads(settings).get(folder.name, 0.0)
        return ThreadFleet(
            [TinyClient(number, delay_s=delay_s) for number in range(first, first + count)]
        )

    run_supernode(folder, open_fleet)


if __name__ == "__main__":
    main()
