"""`python -m android_harness.fake_phone`: a fake phone until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import threading

from android_harness.fake_phone.android_programs import android_programs
from android_harness.fake_phone.phone import FakePhone


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m android_harness.fake_phone")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--android", action="store_true", help="with programs of Android that keep settings"
    )
    parser.add_argument("--slowdown", type=float, default=1.0, help="times slower than this host")
    parser.add_argument(
        "--accept-new-keys", action="store_true", help="accept every host key, not just yours"
    )
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with FakePhone(
        port=arguments.port,
        slowdown=arguments.slowdown,
        scripts=android_programs() if arguments.android else None,
        accept_new_keys=arguments.accept_new_keys,
    ) as phone:
        print(phone.target, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
