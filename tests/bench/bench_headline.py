"""The seed's headline jobs at the published limits, beside the seed's figures.

A data page takes 0.6 s at the sandbox, a list of Gamma 0.21 s, one of the order book 0.15 s.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_store, bench_whole
from tests.bench.bench_figures import Figure

from polybackfill import clocks
from polybackfill.polymarket import endpoints
from polybackfill.store import client, migrate

LATENCY_MS = 600.0
JOB_S = 2_400.0
AS_FAST, AT_LIMIT = 10.0, 0.95
CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Job:
    """One job. `seed_s`: the seed's shortest figure in seconds, `seed`: as it is stated; `budgets`:
    those of the sandbox that may hold the job up.
    """

    name: str
    seed: str
    seed_s: float
    budgets: tuple[str, ...]


MARKETS = Job("run markets events", "30 to 60 min", 1_800.0, ("markets", "events"))
POSITIONS = Job("run positions", "2 to 4 h for 10 to 50 K", 7_200.0, ("positions",))
LOOKUPS = Job("market-ids lookup", "6.7 h", 24_120.0, ("markets",))
WALLETS = Job("run wallets", "5 min", 300.0, ("activity",))


@contextmanager
def at_the_limits(
    *, markets: int, wallets: int, trades: int
) -> Iterator[tuple[harness.Sandbox, harness.Ground]]:
    """A sandbox with latency, the published limits on both sides once all is prepared."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(
            trades=trades, wallets=wallets, markets=markets, latency_ms=LATENCY_MS
        ) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
    ):
        ground.set(limits="{}")
        yield sandbox, ground
        harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)


def _measured(
    job: Job, size: str, sandbox: harness.Sandbox, ground: harness.Ground, *words: str
) -> list[Figure]:
    """Run the job to its end: requests, time, ratio to the seed, share of the limit."""
    sandbox.ask("limits", {"factor": 1.0})
    sandbox.reset()
    with figures.noise() as noise:
        began_at = time.monotonic()
        ended = ground.run(*words, "--json", within_s=JOB_S)
        took_s = time.monotonic() - began_at
    ended.expect(0)
    budgets = sandbox.ask("stats")["budgets"]
    shares = {
        name: (budgets[name]["requests"] - budgets[name]["refused"])
        / (budgets[name]["limit"] * took_s / endpoints.WINDOW_S)
        for name in job.budgets
    }
    used, busiest = max((share, name) for name, share in shares.items())
    ratio = job.seed_s / took_s
    over = sum(budget["violations"] for budget in budgets.values())
    return [
        Figure(
            f"{job.name}, {size} (seed: {job.seed})",
            f"{took_s:.0f} s",
            ">= 10 x or 95 %",
            ratio >= AS_FAST or used >= AT_LIMIT,
        ),
        Figure("  times as fast as the seed's shortest figure", f"{ratio:.1f} x"),
        Figure("  requests", f"{sandbox.requests():,}"),
        Figure(
            f"  of the limit of {busiest}, start and end of the program included", f"{used:.1%}"
        ),
        Figure("  requests over any window", str(over), "0", over == 0),
        Figure("  cores taken by others meanwhile", f"{noise.others:.1f}"),
    ]


def lists(markets: int = 150_000) -> list[Figure]:
    """All markets and events."""
    with at_the_limits(markets=markets, wallets=300, trades=20_000) as (sandbox, ground):
        size = f"{markets:,} markets"
        return _measured(MARKETS, size, sandbox, ground, "run", "markets", "events")


def _ranked(sandbox: harness.Sandbox) -> list[dict[str, Any]]:
    return [row for row in sandbox.ask("wallets?top=1000000") if not row["contract"]]


def _plan(ground: harness.Ground, sandbox: harness.Sandbox, wallets: int) -> None:
    ranked = _ranked(sandbox)[:wallets]
    assert len(ranked) == wallets
    file = ground.folder / "plan.txt"
    lines = (f"{row['wallet']},{row['rows']},{row['notional']}" for row in ranked)
    file.write_text("\n".join(lines), encoding="utf-8")
    ground.run("plan", "build", "--from", str(file)).expect(0)


def positions(wallets: int = 10_000) -> list[Figure]:
    """Positions of the wallets of a plan."""
    with at_the_limits(markets=2_000, wallets=wallets + 40, trades=max(20_000, 20 * wallets)) as (
        sandbox,
        ground,
    ):
        _plan(ground, sandbox, wallets)
        size = f"{wallets:,} wallets"
        return _measured(POSITIONS, size, sandbox, ground, "run", "positions")


def wallets(wallets: int = 100) -> list[Figure]:
    """The whole history of the wallets of a plan."""
    with at_the_limits(markets=1_000, wallets=300, trades=60_000) as (sandbox, ground):
        _plan(ground, sandbox, wallets)
        rows = [row["all_rows"] for row in _ranked(sandbox)[:wallets]]
        pages = max(rows) // endpoints.PAGE_ROWS + 1
        size = f"{wallets:,} wallets of the plan, {sum(rows):,} rows"
        size += f", {pages} pages of one wallet after another"
        return _measured(WALLETS, size, sandbox, ground, "run", "wallets")


def lookups(conditions: int = 44_047) -> list[Figure]:
    """Market ids of conditions that the stored lists do not know."""
    with at_the_limits(markets=conditions + 1_000, wallets=300, trades=20_000) as (sandbox, ground):
        asyncio.run(_fill_trades(ground, sandbox, conditions))
        size = f"{conditions:,} conditions"
        return _measured(LOOKUPS, size, sandbox, ground, "market-ids", "lookup")


async def _fill_trades(ground: harness.Ground, sandbox: harness.Sandbox, conditions: int) -> None:
    """A stored fill of each of these conditions, without a market id."""
    rng = random.Random(1)
    known = [one for one in sandbox.lines("markets") if one["condition_id"] and one["listed"]]
    assert len(known) >= conditions
    lines = []
    for number, market in enumerate(known[:conditions]):
        row = bench_store.trade(rng, 0, number, bench_store.FIRST_SECOND + number, "/v2/trades")
        condition = market["condition_id"].removeprefix("0x")
        changed = {"condition_id": condition, "token_id": market["token_ids"][row["outcome_index"]]}
        lines.append(orjson.dumps({**row, **changed}))
    store = await client.open(client.Address(data_dir=ground.store), clock=clocks.SystemClock())
    try:
        await migrate.up(store)
        for first in range(0, len(lines), CHUNK_ROWS):
            chunk = lines[first : first + CHUNK_ROWS]
            await store.insert("external_trades_raw", b"\n".join(chunk), rows=len(chunk))
    finally:
        await store.close()


JOBS: dict[str, Callable[[], list[Figure]]] = {
    "headline-markets": lists,
    "headline-positions": positions,
    "headline-lookups": lookups,
    "headline-wallets": wallets,
}


def headline() -> list[Figure]:
    """All of them, one after the other."""
    return [figure for job in JOBS.values() for figure in job()]
