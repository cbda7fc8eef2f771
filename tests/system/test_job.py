"""Several daemons that share a job: everything once, whoever dies."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import browser, harness, keeper, real_server
from tests.system import test_page

from polybackfill import errors
from polybackfill.checkpoint import run_checkpoint

_LEASE_S = 12
_END_S = 280.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    with harness.sandbox(trades=2_000, wallets=40, markets=40) as running:
        yield running


@pytest.fixture
def database(server_with_keeper: real_server.Server) -> str:
    return server_with_keeper.database("job")


class Host(harness.Ground):
    """A ground whose run is called by the number of its host."""

    def __init__(self, number: int, folder: Path, url: str, **settings: object) -> None:
        super().__init__(folder, url, run_name=f"host{number}", **settings)
        self.name = f"host{number}"

    @property
    def checkpoint(self) -> Path:
        return self.checkpoints / self.name

    def status(self) -> dict[str, Any] | None:
        try:
            picture: dict[str, Any] = json.loads(
                (self.data / "status" / f"{self.name}.json").read_bytes()
            )
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return picture


def make_host(
    folder: Path,
    sandbox: harness.Sandbox,
    server: real_server.Server,
    database: str,
    number: int,
    **settings: object,
) -> Host:
    """The folder and settings of a host, with an address of its own."""
    home = folder / f"host{number}"
    home.mkdir()
    given = {
        "job": "night",
        "job_lease_s": _LEASE_S,
        "job_shards": 12,
        "job_slices": 4,
        "source_address": f"127.0.0.{number + 2}",
    }
    ground = Host(number, home, sandbox.url, **{**given, **settings})
    ground.use_server(server.port, database)
    return ground


def until_all(
    hosts: list[Host], daemons: list[harness.Daemon], field: str, within_s: float = 150
) -> None:
    """Wait until the picture of each has a true `field`."""

    def is_met() -> bool:
        for daemon in daemons:
            assert daemon.running, daemon.err()[-3000:]
        return all((host.status() or {}).get(field) for host in hosts)

    harness.until(is_met, f"{field} of all", within_s)


def proofs(hosts: list[Host]) -> Counter[tuple[str, str, object]]:
    """How often each key was proven, with its window, on all hosts together."""
    return Counter(
        (receipt.unit.kind, key, receipt.unit.window)
        for host in hosts
        for receipt in run_checkpoint.Checkpoint.view(host.checkpoint).receipts()
        for key in receipt.unit.keys
    )


def test_two_daemons_share_a_whole_run(tmp_path, sandbox, server_with_keeper, database):
    """Every table equals the truth, no unit is proven twice, and both end by themselves; another
    definition is refused meanwhile, and so are a run without the job and what changes the store.
    """
    hosts = [make_host(tmp_path, sandbox, server_with_keeper, database, n) for n in range(2)]
    daemons = [host.start("run") for host in hosts]
    until_all(hosts, daemons, "job")
    if browser.CHROMIUM is not None:
        asyncio.run(look_at_page(hosts[0], tmp_path))
    other = make_host(tmp_path, sandbox, server_with_keeper, database, 2, job_slices=5).run("run")
    other.expect(errors.EXIT_CONFIG)
    assert '"slices":4' in other.err
    assert '"slices":5' in other.err
    alone = make_host(tmp_path, sandbox, server_with_keeper, database, 3, job="").run("run")
    alone.expect(errors.EXIT_UNAVAILABLE)
    assert "is in use by process" in alone.err
    beside = make_host(tmp_path, sandbox, server_with_keeper, database, 4)
    refused = beside.run("recover", "--make-backup")
    refused.expect(errors.EXIT_UNAVAILABLE)
    assert "is in use by process" in refused.err
    for daemon in daemons:
        daemon.end(_END_S).expect(0)
    for host in hosts:
        host.prove_everything(sandbox)
    counts = proofs(hosts)
    assert [key for key, count in counts.items() if count > 1] == []
    by_host = {host.name: sum(proofs([host]).values()) for host in hosts}
    assert min(by_host.values()) > 0.15 * sum(by_host.values()), by_host
    assert_whole_job_is_told(hosts[1], by_host)


async def look_at_page(host: Host, shots: Path) -> None:
    """It shows the whole job and each daemon, on a phone and a desk."""
    async with test_page.shown(host) as page:
        await page.says("Job night")
        await page.says("host0 (this one)")
        shown = "document.querySelector('#job').innerText"
        for text in ("Round 1 · all daemons: ", "host1", "alive", "positions"):
            await page.tab.until(f"{shown}.includes({text!r})", 30)
        await page.check(shots, "job")


def assert_whole_job_is_told(host: Host, by_host: dict[str, int]) -> None:
    """Any of the hosts tells of all of it and of each: `by_host`, keys that it has proven."""
    progress = json.loads(host.run("check", "progress", "--json").out)
    job = progress["job"]
    assert {one["run_name"]: one["keys"] for one in job["hosts"]} == by_host
    assert {one["state"] for one in job["hosts"]} == {"gone"}
    for kind, part in progress["parts"].items():
        assert part["done"] == part["keys"], (kind, part)
    parts = job["parts"].values()
    assert sum(part["done"] for part in parts) == sum(by_host.values())
    assert all(part["shards_done"] == part["shards"] for part in parts)
    text = host.run("check", "progress").out
    assert "job night, round 1, 0 daemons" in text
    assert text.rstrip().endswith("complete")
    morning = host.run("report", "morning").out
    assert "The Job and Its Daemons" in morning
    for name, keys in by_host.items():
        assert re.search(rf"{name} +\S+ +gone +{keys:,} ", morning), morning


@pytest.mark.long
def test_daemons_that_die_or_stand_still_are_taken_over(
    tmp_path, sandbox, server_with_keeper, database
):
    """One is killed, one suspended for longer than its lease: the third goes on with what they had,
    the woken one ends (75), and both come back.
    """
    hosts = [make_host(tmp_path, sandbox, server_with_keeper, database, n) for n in range(3)]
    daemons = [host.start("run") for host in hosts]
    until_all(hosts, daemons, "share")
    daemons[0].kill()
    daemons[1].signal(signal.SIGSTOP)
    harness.until(
        lambda: "job.taken_over" in daemons[2].err() and _gone(hosts[2]) >= 2, "a take-over", 120
    )
    assert hosts[2].duplicates() == 0
    daemons[1].signal(signal.SIGCONT)
    woken = daemons[1].end(100)
    woken.expect(errors.EXIT_UNAVAILABLE)
    assert "Start again to join the job anew" in woken.err
    again = [host.start("run") for host in hosts[:2]]
    for daemon in (daemons[2], *again):
        daemon.end(_END_S).expect(0)
    hosts[2].prove_everything(sandbox)


def _gone(host: Host) -> int:
    return int(host.query("SELECT count() FROM backfill_members WHERE state = 'gone'") or 0)


@pytest.mark.long
def test_without_keeper_daemons_wait_and_go_on(
    tmp_path, sandbox, server_with_keeper, running_keeper: keeper.Keeper, database
):
    """Keeper away for longer than a lease: nothing is lost, and back again they continue."""
    hosts = [make_host(tmp_path, sandbox, server_with_keeper, database, n) for n in range(2)]
    daemons = [host.start("run") for host in hosts]
    until_all(hosts, daemons, "share")
    running_keeper.stop()
    try:
        harness.until(
            lambda: all("job.retry" in daemon.err() for daemon in daemons), "that they notice", 100
        )
        assert all(daemon.running for daemon in daemons)
    finally:
        running_keeper.start()
    for daemon in daemons:
        daemon.end(_END_S).expect(0)
    for host in hosts:
        host.prove_everything(sandbox)
