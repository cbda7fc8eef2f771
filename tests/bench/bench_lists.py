"""All lists of markets and events, read from a sandbox of a million markets without limits."""

from __future__ import annotations

import json
import tempfile

from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill.checks import table_digest

RUN_S = 1_800.0
# Few trades: the markets are what is read here.
TRADES, WALLETS = 20_000, 300


def enumeration(markets: int) -> list[Figure]:
    """Time, requests and memory of `run markets events`, and whether the store holds the truth."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(trades=TRADES, wallets=WALLETS, markets=markets) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
        bench_whole.held_store(ground) as store_pid,
    ):
        with figures.noise() as noise:
            daemon = ground.start("run", "markets", "events", "--json")
            with (
                figures.watching(lambda: daemon.pid) as own,
                figures.watching(lambda: store_pid) as store,
            ):
                ended = daemon.end(RUN_S)
        ended.expect(0)
        picture = json.loads(ended.out)
        took_s = picture["now"] - picture["started_at"]
        requests = sandbox.requests()
        truth = sandbox.ask("truth")
        stored = {
            name: ground.sql(statement)[0]
            for name, statement in (
                ("markets", table_digest.TABLES["markets"]),
                ("events", table_digest.TABLES["events"]),
            )
        }
    found = [
        Figure(
            f"{markets:,} markets, their events: time (others took {noise.others:.1f} cores)",
            f"{took_s:.0f} s = {markets / took_s:,.0f} markets/s",
        ),
        Figure("  requests", f"{requests:,}"),
        Figure("  daemon: CPU, most memory", f"{own.cpu_s:.0f} s, {own.peak_mb:.0f} MB"),
        Figure("  store: CPU, most memory", f"{store.cpu_s:.0f} s, {store.peak_mb:.0f} MB"),
    ]
    for name, held in stored.items():
        equal = (held["rows"], held["digest"]) == (truth[name]["count"], truth[name]["digest"])
        found.append(
            Figure(f"  {name} stored, digest of all rows", f"{held['rows']:,}", "the truth", equal)
        )
    return found
