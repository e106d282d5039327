"""Training over hosts: real processes from the command line, and how long things may take."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_profiles import profile
from processes import Processes

from android_harness.host_folders import cache_root
from exporters.manifest import Bundle
from toolkit.federation.link_folder import LinkFolder
from toolkit.federation.train import times_of
from toolkit.training.contract import TrainingConfig
from toolkit.training.run_folder import RunFolder


def cache_of_its_own(path: Path) -> Path:
    """With the runners of this machine's, and room for another local target."""
    path.mkdir()
    for entry in cache_root().iterdir():
        if entry.name != "local":
            (path / entry.name).symlink_to(entry)
    return path


def test_the_probes_are_divided_over_hosts_by_their_profiles(
    link: LinkFolder,
    processes: Processes,
    bundle: Bundle,
    table: Path,
    runner_binary: Path,
    tmp_path: Path,
) -> None:
    assert runner_binary.exists()
    data = ["--data", table, "--text-column", "title,text", "--label-column", "label"]
    training = ["train", bundle.folder, *data, "--superlink", link.path, "--await-clients", 2]
    training += ["--probes", 8, "--batch", 4, "--rounds", 2, "--held-out", 4, "--max-tokens", 24]
    for host, seconds in (("a", 1.0), ("b", 3.0)):
        path = tmp_path / f"{host}.json"
        measured = profile(
            "local", seconds=seconds, bundle=bundle.sha256, measured=datetime.now(UTC)
        )
        measured.write(path)
        training += ["--profile", f"{host}={path}"]
        folder = link.path / "hosts" / host
        arguments = ["supernode", folder, "--bundle", bundle.folder, *data, "--target", "local"]
        cache = cache_of_its_own(tmp_path / f"cache-{host}")
        processes.start(host, "cli_process.py", *arguments, FWDLLM_CACHE=str(cache))
    run = processes.start("train", "cli_process.py", *training, "--out", tmp_path / "run")
    assert run.wait(180) == 0, processes.log("train")
    folder = RunFolder(tmp_path / "run")
    shares = {share.client: share.probes for share in folder.description().shares}
    assert shares == {"a/local": 6, "b/local": 2}
    start, *rounds = folder.rounds()
    assert [record.probes for record in rounds] == [8, 8]
    assert not any(record.lost for record in rounds)
    assert rounds[-1].values_sha256 != start.values_sha256


@pytest.mark.parametrize("deadline_s", [None, 30.0, 9000.0])
def test_a_hosts_orders_end_after_the_servers_own_deadline(deadline_s: float | None) -> None:
    config = TrainingConfig(rounds=1, timeout_s=3600.0, deadline_s=deadline_s)
    life = times_of(config).deadline_s
    assert life is not None
    # An order may run twice after the server stopped waiting for those before it.
    assert life > (deadline_s or 0) + 2 * 3600


def test_without_a_limit_for_an_order_only_lost_hosts_are_given_up() -> None:
    assert times_of(TrainingConfig(rounds=1, deadline_s=30.0)).deadline_s is None
