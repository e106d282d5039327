"""What goes wrong with fake phones while a soak test runs over them; seeded."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from android_harness.fake_phone import FakePhone, Faults


class Chaos:
    """Does something bad to a phone every now and then, in a thread of its own.

    Args:
        pause_s: how long it leaves the phone alone, on average.
    """

    def __init__(self, phone: FakePhone, seed: int, pause_s: float) -> None:
        self.done: Counter[str] = Counter()
        self._phone = phone
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rage, name=f"chaos {phone.target}")
        self._thread.start()

    def end(self) -> None:
        """Returns when the phone is sound again."""
        self._over.set()
        self._thread.join()

    def _rage(self) -> None:
        while not self._over.wait(self._random.uniform(0, 2 * self._pause_s)):
            kind = self._random.choice(FAULTS)
            self.done[kind.__name__] += 1
            kind(self._phone, self._random)


def _for_a_while(phone: FakePhone, chance: random.Random, faults: Faults) -> None:
    phone.faults = faults
    time.sleep(chance.uniform(0.05, 0.5))
    phone.faults = Faults()


def cable_pulled(phone: FakePhone, chance: random.Random) -> None:
    phone.drop_connections()


def ended(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(end_after_bytes=chance.randrange(20_000)))


def reset(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(reset_after_bytes=chance.randrange(20_000)))


def frozen(phone: FakePhone, chance: random.Random) -> None:
    """What it stalls stays so until the link is cut."""
    _for_a_while(phone, chance, Faults(stall_after_bytes=chance.randrange(20_000)))
    phone.drop_connections()


def refused(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(refuse_service=chance.choice(["shell", "sync:"])))


def push_failed(phone: FakePhone, chance: random.Random) -> None:
    limit, silent = chance.choice([0, 100_000]), chance.random() < 0.5
    said = "write failed: Input/output error"
    faults = Faults(fail_push_after_bytes=limit, fail_message=said, silent_after_fail=silent)
    _for_a_while(phone, chance, faults)


def push_corrupted(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(corrupt_push=True))


def exit_code_missing(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(omit_exit_packet=True))


def vanished_at_exit(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(vanish_at_exit=True))


def slow(phone: FakePhone, chance: random.Random) -> None:
    _for_a_while(phone, chance, Faults(read_delay_s=chance.uniform(0.005, 0.05)))


def rebooted(phone: FakePhone, chance: random.Random) -> None:
    phone.reboot(off_s=chance.uniform(0, 1.5))


FAULTS: tuple[Callable[[FakePhone, random.Random], None], ...] = (
    cable_pulled,
    ended,
    reset,
    frozen,
    refused,
    push_failed,
    push_corrupted,
    exit_code_missing,
    vanished_at_exit,
    slow,
    rebooted,
)
