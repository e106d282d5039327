"""Ctrl-C for what another thread does on a target."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from android_harness.target import Target


def interrupted_while(target: Target, work: Callable[[], object]) -> list[str]:
    """Interrupts `work` in a thread of its own after it began; what the thread went through."""
    story: list[str] = []

    def thread() -> None:
        try:
            work()
            story.append("ended")
        except KeyboardInterrupt:
            story.append("interrupted")
        # To clean up, it goes on as if nothing had happened.
        story.append(target.check(["echo", "cleaned up"]).stdout.decode().strip())

    worker = threading.Thread(target=thread)
    worker.start()
    time.sleep(0.3)
    assert worker.ident is not None
    target.interrupt(worker.ident)
    worker.join(10)
    assert not worker.is_alive()
    return story


def test_a_command_under_way_is_interrupted_once(target: Target) -> None:
    story = interrupted_while(target, lambda: target.run(["sleep", "60"]))
    assert story == ["interrupted", "cleaned up"]


def test_a_stream_under_way_is_interrupted_once(target: Target) -> None:
    def follow() -> None:
        with target.stream(["sh", "-c", "while echo line; do sleep 0.05; done"]) as pieces:
            for _ in pieces:
                pass

    assert interrupted_while(target, follow) == ["interrupted", "cleaned up"]


def test_between_commands_the_next_one_is_interrupted(target: Target) -> None:
    def idle() -> None:
        time.sleep(0.6)
        target.run(["true"])

    assert interrupted_while(target, idle) == ["interrupted", "cleaned up"]


def test_other_threads_go_on(target: Target) -> None:
    said: list[bytes] = []
    other = threading.Thread(
        target=lambda: said.append(target.run(["sh", "-c", "sleep 1; echo mine"]).stdout)
    )
    other.start()
    interrupted_while(target, lambda: target.run(["sleep", "60"]))
    other.join()
    assert said == [b"mine\n"]
    assert target.run(["echo", "also here"]).stdout == b"also here\n"
