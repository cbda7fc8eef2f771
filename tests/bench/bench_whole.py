"""The whole program against a sandbox without limits: processor, rows a second, memory, start.

Every figure is of real processes: the sandbox, the daemon, and the child that holds the store.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import harness
from tests.bench import bench_figures as figures
from tests.bench.bench_figures import Figure

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.polymarket import pagination, trade_feed
from polybackfill.store import client, migrate

FLOOR = Path(__file__).with_name("bench_floor.py")
RUN_S = 400.0
# What the bench must choose; all else is as a user has it, not as the harness sets it for tests.
CHOSEN = ("DATA_URL", "GAMMA_URL", "CLOB_URL", "DATA_DIR", "CHECKPOINT_DIR", "LIMITS")
# Finished units made up beside the real ones: wallet number n is this often n.
# A market this big gets a request of its own.
ALONE_ROWS = units.BIG_MARKET_ROWS
STRIDE = 2_654_435_761
DONE_WALLETS = f"""
INSERT INTO wallet_backfill_plan
    (wallet_address, trade_count, notional, priority_rank, status, last_run_at, attempts, source)
SELECT leftPad(lower(hex(toUInt64(number) * {STRIDE})), 40, '0'), 300, 1000, number + 1, 'done',
    now(), 1, 'bench'
FROM numbers({{count}})
"""
SIZE = """
SELECT sum(rows) AS n, sum(bytes_on_disk) AS bytes FROM system.parts
WHERE active AND database = currentDatabase() AND table = {table:String}
"""


@dataclass(frozen=True)
class Part:
    """One run of one part. `cpu_s` of the daemon and `store_cpu_s` of the store's child."""

    rows: int
    pages: int
    wall_s: float
    cpu_s: float
    store_cpu_s: float
    peak_mb: float
    growth_mb_per_min: float
    others: float

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.wall_s


@contextmanager
def as_shipped(folder: str, sandbox: harness.Sandbox) -> Iterator[harness.Ground]:
    """A user's folder with default settings, the client's own limits lifted."""
    with harness.ground(Path(folder), sandbox.url) as ground:
        for name in list(ground.environment):
            if name.startswith("BACKFILL_") and name.removeprefix("BACKFILL_") not in CHOSEN:
                del ground.environment[name]
        yield ground


@contextmanager
def held_store(ground: harness.Ground) -> Iterator[int]:
    """The embedded store, kept up by `db serve`, so that no measured process starts it."""
    serving = ground.start("db", "serve")
    harness.until(lambda: "http://" in serving.out(), "the store")
    pid = ground.store_pid()
    assert pid is not None
    try:
        yield pid
    finally:
        serving.signal(15)
        serving.end()


def write_plan(ground: harness.Ground, sandbox: harness.Sandbox) -> dict[str, list[Any]]:
    """Everything in the sandbox into the plan, by volume; the rankings it was made from."""
    rankings = {
        kind: [row for row in sandbox.ask(f"{kind}?top=1000000") if not row.get("contract")]
        for kind in ("wallets", "conditions")
    }
    keys = {"wallets": "wallet", "conditions": "condition_id"}
    file = ground.folder / "plan.txt"
    with file.open("w", encoding="utf-8") as lines:
        for kind, ranking in rankings.items():
            for row in ranking:
                lines.write(f"{row[keys[kind]]},{row['rows']},{row['notional']}\n")
    ground.run("plan", "build", "--from", str(file)).expect(0)
    return rankings


def measured(ground: harness.Ground, store_pid: int, *parts: str) -> Part:
    """Run parts to their end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with figures.noise() as noise:
        daemon = ground.start("run", *parts, "--json")
        with (
            figures.watching(lambda: daemon.pid) as own,
            figures.watching(lambda: store_pid) as store,
        ):
            ended = daemon.end(RUN_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended.expect(0)
    picture = json.loads(ended.out)
    return Part(
        rows=sum(picture["rows"].values()),
        pages=sum(part["pages"] for part in picture["parts"].values()),
        wall_s=picture["now"] - picture["started_at"],
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        store_cpu_s=store.cpu_s,
        peak_mb=own.peak_mb,
        growth_mb_per_min=own.growth_mb_per_min(),
        others=noise.others,
    )


def start_cpu_s(ground: harness.Ground, condition: str) -> float:
    """Processor seconds of a run that fetches one small market."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ground.run("run", "--condition-id", condition, "--json").expect(0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def floor(ground: harness.Ground, url: str, feeds: list[pagination.FeedQuery]) -> dict[str, Any]:
    """What bench_floor.py finds for these feeds."""
    file = ground.folder / "questions.txt"
    lines = [
        f"{one.route.path}?{urllib.parse.urlencode(one.request_params(None))}" for one in feeds
    ]
    file.write_text("\n".join(lines))
    command = [sys.executable, str(FLOOR), f"{url}/data", str(file)]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, timeout=RUN_S))
    return found


def feeds_of(rankings: dict[str, list[Any]]) -> dict[str, list[pagination.FeedQuery]]:
    """The questions of a run over the whole plan."""
    sizes = (
        (row["condition_id"].removeprefix("0x"), row["rows"]) for row in rankings["conditions"]
    )
    return {
        "conditions": [trade_feed.build_condition_query(unit.keys) for unit in units.pack(sizes)],
        "wallets": [
            trade_feed.build_wallet_query(row["wallet"].removeprefix("0x"))
            for row in rankings["wallets"]
        ],
    }


def throughput(trades: int) -> list[Figure]:
    """Processor per million rows and its ratio to the floor; rows a second; bytes on disk."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(trades=trades, wallets=1_500, markets=1_000) as sandbox,
        as_shipped(folder, sandbox) as ground,
        held_store(ground) as store_pid,
    ):
        rankings = write_plan(ground, sandbox)
        start_s = start_cpu_s(ground, rankings["conditions"][-1]["condition_id"])
        found: list[Figure] = []
        parts, bare_s = {}, 0.0
        for kind, feeds in feeds_of(rankings).items():
            parts[kind] = run = measured(ground, store_pid, kind)
            bare = floor(ground, sandbox.url, feeds)
            bare_s += bare["cpu_s"]
            found += _of_part(kind, run, bare, start_s)
        rows = sum(run.rows for run in parts.values())
        wall_s = sum(run.wall_s for run in parts.values())
        net_s = sum(run.cpu_s - start_s for run in parts.values())
        found += [
            Figure("start and stop of the daemon, taken off above", f"{start_s:.2f} s CPU"),
            Figure(
                "daemon CPU, conditions and wallets, of the floor's",
                f"{net_s / bare_s:.2f} x",
                "<= 4",
                net_s / bare_s <= 4,
            ),
            Figure(
                "rows/s fetched to acknowledged, conditions and wallets",
                f"{rows / wall_s:,.0f}",
                ">= 80,000",
                rows / wall_s >= 80_000,
            ),
            *_on_disk(ground),
        ]
    return found


def _of_part(kind: str, run: Part, bare: dict[str, Any], start_s: float) -> list[Figure]:
    million = run.rows / 1e6
    net_s = run.cpu_s - start_s
    return [
        Figure(
            f"{kind}: daemon CPU per million rows",
            f"{net_s / million:.2f} s",
        ),
        Figure(f"{kind}: store CPU per million rows", f"{run.store_cpu_s / million:.2f} s"),
        Figure(
            f"{kind}: floor CPU per million rows ({bare['rows']:,} rows, {bare['pages']:,} pages)",
            f"{bare['cpu_s'] / bare['rows'] * 1e6:.2f} s",
        ),
        Figure(f"{kind}: daemon CPU of the floor's", f"{net_s / bare['cpu_s']:.2f} x"),
        Figure(
            f"{kind}: rows/s ({run.rows:,} rows, {run.pages:,} pages, "
            f"others took {run.others:.1f} of the cores)",
            f"{run.rows_per_s:,.0f}",
        ),
    ]


def _on_disk(ground: harness.Ground) -> list[Figure]:
    found = []
    for table in ("external_trades_raw", "wallet_activity_raw"):
        ground.sql(f"OPTIMIZE TABLE {table} FINAL")
        size = ground.sql(SIZE.replace("{table:String}", f"'{table}'"))[0]
        per_row = size["bytes"] / max(1, size["n"])
        found.append(
            Figure(
                f"{table}: bytes a row on disk ({size['n']:,} rows)",
                f"{per_row:.0f} = {per_row:,.0f} MB a million",
            )
        )
    return found


async def make_history(ground: harness.Ground, count: int) -> None:
    """`count` wallets proven complete by earlier runs, in the checkpoint and in the plan."""
    store = await client.open(client.Address(data_dir=ground.store), clock=clocks.SystemClock())
    try:
        await migrate.up(store)
        await store.command(DONE_WALLETS.format(count=count))
        book = run_checkpoint.Checkpoint.open(
            ground.checkpoint, store_id=await migrate.store_id(store)
        )
    finally:
        await store.close()
    step = units.Counts(rows=300, pages=1, first_second=1_700_000_000)
    for number in range(count):
        unit = units.Unit(units.WALLETS, (f"{number * STRIDE:040x}",))
        book.finish(unit.id, book.begin(unit), step)
        if number % 5_000 == 0:
            await book.sync()
    await book.sync()
    ends = book.transitions_since(book.synced_seq)
    book.note_plan_synced(ends[-1].seq)
    await book.sync()
    book.close()


def first_request_s(ground: harness.Ground, sandbox: harness.Sandbox) -> float:
    """Seconds from the start of the process to its first request."""
    sandbox.reset()
    began_at = time.monotonic()
    daemon = ground.start("run", "wallets", "--limit", "1", "--json")
    harness.until(lambda: sandbox.requests() > 0, "a request", 60.0)
    took_s = time.monotonic() - began_at
    daemon.end().expect(0)
    return took_s


def a_million_units(trades: int, count: int) -> list[Figure]:
    """Start and memory of a daemon whose checkpoint holds `count` finished units."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(trades=trades, wallets=2_000, markets=1_500) as sandbox,
        as_shipped(folder, sandbox) as ground,
    ):
        asyncio.run(make_history(ground, count))
        write_plan(ground, sandbox)
        cold_s = first_request_s(ground, sandbox)
        with held_store(ground) as store_pid:
            warm_s = first_request_s(ground, sandbox)
            run = measured(ground, store_pid, "conditions", "wallets")
    return [
        Figure(
            f"start with {count:,} finished units, store started too: to the first request",
            f"{cold_s:.2f} s",
            "<= 3 s",
            cold_s <= 3,
        ),
        Figure("  the same, store running already", f"{warm_s:.2f} s", "<= 3 s", warm_s <= 3),
        Figure(
            f"memory with {count:,} finished units, {run.rows:,} rows passing: most",
            f"{run.peak_mb:.0f} MB",
            "<= 300 MB",
            run.peak_mb <= 300,
        ),
        Figure(
            "  growth over the second half",
            f"{run.growth_mb_per_min:+.1f} MB/min",
            "flat: <= 10",
            run.growth_mb_per_min <= 10,
        ),
        Figure(
            f"  rows/s meanwhile (others took {run.others:.1f} of the cores)",
            f"{run.rows_per_s:,.0f}",
        ),
    ]
