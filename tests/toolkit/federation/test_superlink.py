"""A real SuperLink and real SuperNodes on the loopback interface, with TLS and keys."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from processes import HERE, Processes, wait_until
from tiny_client import TinyServer, slopes

from toolkit.errors import TrainingError
from toolkit.federation.flower_fleet import FlowerFleet, FlowerTimes
from toolkit.federation.link_folder import LinkFolder, create_link_folder
from toolkit.federation.superlink import run_superlink
from toolkit.federation.superlink_fleet import superlink_fleet
from toolkit.protocol.order import Answer, Failure, Order

TIMES = FlowerTimes(patience_s=5.0, deadline_s=15.0)


def collect(fleet: FlowerFleet, count: int) -> dict[str, Answer | Failure]:
    outcomes: dict[str, Answer | Failure] = {}
    while len(outcomes) < count:
        replies = fleet.receive(60)
        assert replies
        outcomes.update({reply.client: reply.outcome for reply in replies})
    return outcomes


def test_rounds_over_three_hosts_of_which_one_is_killed(
    link: LinkFolder, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = {
        name: processes.start(name, "host_process.py", link.path / "hosts" / name, 2 * number, 2)
        for number, name in enumerate("abc")
    }
    server = TinyServer()
    # Host b works for so long that it is still at it when it is killed.
    settings = json.dumps({"b": 2.0})
    with superlink_fleet(link.path, settings=settings, book=server.book, times=TIMES) as fleet:
        names = sorted(fleet.await_members(6, 60))
        assert names == [f"{host}/phone-{number}" for number, host in enumerate("aabbcc")]
        with (
            pytest.raises(TrainingError, match="another training run"),
            superlink_fleet(link.path, settings="", book=server.book),
        ):
            pass
        rows = []
        for rounds in range(4):
            before, started = fleet.traffic(), time.monotonic()
            orders = {
                name: server.order(position, since=max(0, rounds - 1))
                for position, name in enumerate(names)
            }
            fleet.send(orders)
            if rounds == 2:
                wait_until(lambda: "Receiving" in processes.log("b").rpartition("Sent")[2])
                os.kill(hosts["b"].pid, signal.SIGKILL)
            outcomes = collect(fleet, len(names))
            after, seconds = fleet.traffic(), time.monotonic() - started
            lost = {n: o.reason for n, o in outcomes.items() if isinstance(o, Failure)}
            assert set(lost) == ({"b/phone-2", "b/phone-3"} if rounds == 2 else set())
            assert all("no answer within 15" in reason for reason in lost.values())
            answers = {n: o for n, o in outcomes.items() if isinstance(o, Answer)}
            for name, answer in answers.items():
                probes = orders[name].probes
                assert probes is not None
                expected = slopes(server.state.values, int(name[-1]), probes)
                np.testing.assert_array_equal(answer.slopes, expected)
            names = sorted(answers)
            server.commit([orders[name] for name in names], [answers[name] for name in names])
            assert before is not None
            assert after is not None
            assert min(after.down - before.down, after.up - before.up) > sum(
                4 * len(answer.slopes) for answer in answers.values()
            )
            rows.append(
                f"round {rounds + 1}: {len(answers)} answers, {len(lost)} lost, {seconds:.1f} s, "
                f"{after.down - before.down} bytes down, {after.up - before.up} bytes up"
            )
        assert names == ["a/phone-0", "a/phone-1", "c/phone-4", "c/phone-5"]
    with capsys.disabled():
        print("", *rows, sep="\n")


def test_only_registered_hosts_get_in(link: LinkFolder, processes: Processes) -> None:
    # A host with a folder of its own making, and with the right certificate of the server.
    stranger = link.path.parent / "stranger"
    address = link.description().address
    create_link_folder(stranger, address=address, hosts=["a"])
    own = stranger / "hosts" / "a"
    (own / "ca.pem").write_bytes(link.ca.read_bytes())
    refused = processes.start("stranger", "host_process.py", own, 0, 1)
    # A host that is registered, but trusts another server.
    (link.path / "hosts" / "b" / "ca.pem").write_bytes((stranger / "ca.pem").read_bytes())
    distrustful = processes.start("b", "host_process.py", link.path / "hosts" / "b", 0, 1)
    processes.start("c", "host_process.py", link.path / "hosts" / "c", 0, 1)
    server = TinyServer()
    with superlink_fleet(link.path, settings="{}", book=server.book, times=TIMES) as fleet:
        assert list(fleet.await_members(1, 60)) == ["c/phone-0"]
        assert refused.wait(40) != 0
        assert distrustful.wait(40) != 0
        assert list(fleet.members()) == ["c/phone-0"]
    log = processes.log("link")
    assert "refused /v1/fleet/activate-node of 127.0.0.1:" in log
    assert "CERTIFICATE_VERIFY_FAILED" in processes.log("b")
    # Nor does the control API talk to the network, or to other users of this machine.
    with httpx.Client(verify=str(link.ca)) as client:
        for port in (link.running().port, link.running().admin_port):
            path = f"https://127.0.0.1:{port}/v1/control/list-nodes"
            assert client.post(path).status_code in (401, 404)
    for private in link.path.rglob("*.key"):
        for line in private.read_text().splitlines()[1:-1]:
            assert line not in log


def test_a_training_run_that_died_is_followed_by_another(
    link: LinkFolder, processes: Processes
) -> None:
    processes.start("a", "host_process.py", link.path / "hosts" / "a", 0, 1)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from toolkit.federation.superlink_fleet import superlink_fleet\n"
        "from toolkit.protocol.seed_book import SeedBook\n"
        "with superlink_fleet(Path(sys.argv[1]), settings='{}', book=SeedBook(1)) as fleet:\n"
        "    fleet.await_members(1, 60)\n"
        "    os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[2])}
    died = subprocess.run(
        [sys.executable, "-c", script, str(link.path)], env=environment, timeout=60, check=False
    )
    assert died.returncode == 9
    server = TinyServer()
    with superlink_fleet(link.path, settings="{}", book=server.book, times=TIMES) as fleet:
        fleet.await_members(1, 60)
        order: Order = server.order(0)
        fleet.send({"a/phone-0": order})
        assert isinstance(collect(fleet, 1)["a/phone-0"], Answer)


def test_a_superlink_that_is_gone_says_so(link: LinkFolder, processes: Processes) -> None:
    running = link.running()
    os.kill(running.pid, signal.SIGTERM)
    wait_until(lambda: not link.running_file.exists())
    with (
        pytest.raises(TrainingError, match="does not run"),
        superlink_fleet(link.path, settings="", book=TinyServer().book),
    ):
        pass
    running.write(link.running_file)  # as if it had been killed
    with (
        pytest.raises(TrainingError, match="does not answer"),
        superlink_fleet(link.path, settings="", book=TinyServer().book),
    ):
        pass


def test_hosts_find_a_superlink_that_was_killed_and_started_again(
    link: LinkFolder, processes: Processes
) -> None:
    host = processes.start("a", "host_process.py", link.path / "hosts" / "a", 0, 1)
    server = TinyServer()
    times = dataclasses.replace(TIMES, deadline_s=None, outage_s=5.0)
    with (
        pytest.raises(TrainingError, match="the SuperLink has not answered for"),
        superlink_fleet(link.path, settings="{}", book=server.book, times=times) as fleet,
    ):
        fleet.await_members(1, 60)
        os.kill(link.running().pid, signal.SIGKILL)
        fleet.send({"a/phone-0": server.order(0)})
        fleet.receive(None)
    link.running_file.unlink()
    processes.start("link again", "link_process.py", link.path)
    wait_until(link.running_file.exists)
    with superlink_fleet(link.path, settings="{}", book=server.book, times=TIMES) as fleet:
        fleet.await_members(1, 60)
        fleet.send({"a/phone-0": server.order(0)})
        assert isinstance(collect(fleet, 1)["a/phone-0"], Answer)
    assert host.poll() is None


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        create_link_folder(tmp_path / "link", address=address, listen="127.0.0.1", hosts=["a"])
        with pytest.raises(TrainingError, match=f"cannot listen on {address}"):
            run_superlink(tmp_path / "link")
    assert not (tmp_path / "link" / "running.json").exists()
