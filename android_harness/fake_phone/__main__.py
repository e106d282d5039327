"""`python -m android_harness.fake_phone`: a fake phone until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from android_harness.fake_phone.android_programs import android_programs
from android_harness.fake_phone.phone import FakePhone
from android_harness.fake_phone.recording import Recording, read_recording
from exporters.errors import FwdllmError


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
    parser.add_argument(
        "--recording", type=Path, help="JSON of a device's props, files and commands, to serve"
    )
    arguments = parser.parse_args()
    recording = Recording({}, {}, {})
    if arguments.recording is not None:
        try:
            recording = read_recording(arguments.recording)
        except FwdllmError as error:
            parser.error(str(error))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with FakePhone(
        props=recording.props,
        files=recording.files,
        scripts={**(android_programs() if arguments.android else {}), **recording.scripts},
        port=arguments.port,
        slowdown=arguments.slowdown,
        accept_new_keys=arguments.accept_new_keys,
    ) as phone:
        print(phone.target, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
