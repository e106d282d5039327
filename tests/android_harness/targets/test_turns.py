"""Turns at what only one may use."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from android_harness.targets.turns import Turns


def test_whoever_waits_comes_before_whoever_asks_again() -> None:
    turns, over = Turns(), threading.Event()

    def loop() -> None:
        while not over.is_set():
            assert turns.take(None)
            time.sleep(0.01)
            turns.pass_on()

    def ask() -> None:
        for _ in range(20):
            assert turns.take(30)
            turns.pass_on()

    with ThreadPoolExecutor() as pool:
        greedy = pool.submit(loop)
        try:
            pool.submit(ask).result()
        finally:
            over.set()
        greedy.result()


def test_one_at_a_time_and_nobody_is_forgotten() -> None:
    turns, inside, most = Turns(), 0, 0

    def work(patience_s: float) -> int:
        nonlocal inside, most
        served = 0
        for _ in range(50):
            if turns.take(patience_s):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0002)
                inside -= 1
                turns.pass_on()
                served += 1
        return served

    with ThreadPoolExecutor(8) as pool:
        served = list(pool.map(work, [30, 30, 30, 30, 0.0003, 0.0003, 0.0003, 0.0003]))
    assert most == 1
    assert served[:4] == [50] * 4
    assert turns.take(0)
