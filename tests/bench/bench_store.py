"""The embedded store: insert rate and CPU, empty and with many rows; repeats; bytes per row.

Run: python tests/bench/bench_store.py [--existing 20000000] [--folder DIR] [--batches 6]

`conditions`: a batch as the walk over markets makes it (consecutive fills of 20 markets).
`wallets`: as the walk over wallets makes it (consecutive fills of 20 wallets, each in many markets
the table holds), which is the costly case: its times and markets are spread over the whole table.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psutil

from chdb_http import endpoint_file
from polybackfill import clocks
from polybackfill.store import client, migrate

CONDITIONS, WALLETS = 200_000, 30_000
FIRST_SECOND = 1_600_000_000
PAGES = 20
FILL_STEP = 500_000

# The universe of `condition`, `began`, `lives`, `wallet` and `token` below, in SQL.
FILL = """
INSERT INTO external_trades_raw
    (source, external_trade_id, wallet_address, condition_id, market_question, side, outcome_index,
     outcome, token_id, shares, price, cash_value, usdc_size, trade_timestamp, tx_hash,
     source_route, fetched_at)
SELECT 'polymarket_data_api', generateUUIDv4(rowNumberInAllBlocks()),
    substring(lower(hex(SHA256(concat('w', toString(w))))), 1, 40),
    lower(hex(SHA256(concat('c', toString(k))))),
    concat('Will the price of Bitcoin be above $', toString(k % 100000), ' on day ',
        toString(k % 31), ' of the month?'),
    if(r3 % 2 = 0, 'BUY', 'SELL'), toInt32(r4 % 2) AS o, if(o = 0, 'Yes', 'No'),
    toString(reinterpretAsUInt256(SHA256(concat('t', toString(k), '-', toString(o))))),
    round(-log((r5 + 1) / 4294967296) * 50, 6) AS amount, round(r6 / 4294967296, 3) AS paid,
    amount * paid, round(amount * paid, 6),
    toDateTime(1600000000 + (k * 7919 * 131) % 150000000
        + toUInt32(pow(r7 / 4294967296, 2) * 3600 * (1 + (k * 104729) % 720))),
    lower(hex(SHA256(toString(rand64(9))))), '/v2/trades', now()
FROM (
    SELECT toUInt64(pow(rand(2) / 4294967296, 3) * 30000) AS w,
        toUInt64(pow({draw}, 3) * 200000) AS k,
        rand(3) AS r3, rand(4) AS r4, rand(5) AS r5, rand(6) AS r6, rand(7) AS r7
    FROM numbers({rows})
)
"""
# Which market, from 0 to 1.
ANYWHERE = "rand(1) / 4294967296"
OWN_MARKETS = "cityHash64(w, rand(1) % {markets}) / 18446744073709551616"


def condition(k: int) -> str:
    return hashlib.sha256(b"c%d" % k).hexdigest()


def wallet(k: int) -> str:
    return hashlib.sha256(b"w%d" % k).hexdigest()[:40]


def began(k: int) -> int:
    return FIRST_SECOND + (k * 7919 * 131) % 150_000_000


def some(rng: random.Random, count: int) -> int:
    """Few are very busy, most are quiet."""
    return int(rng.random() ** 3 * count)


def trade(rng: random.Random, k: int, w: int, second: int, route: str) -> dict[str, Any]:
    outcome, shares, price = rng.randrange(2), round(rng.expovariate(0.02), 6), rng.random()
    return {
        "source": "polymarket_data_api",
        "external_trade_id": f"{rng.getrandbits(128):032x}",
        "wallet_address": wallet(w),
        "condition_id": condition(k),
        "market_question": f"Will the price of Bitcoin be above ${k % 100_000} on day {k % 31}?",
        "side": "BUY" if rng.random() < 0.5 else "SELL",
        "outcome_index": outcome,
        "outcome": ("Yes", "No")[outcome],
        "token_id": str(int(hashlib.sha256(b"t%d-%d" % (k, outcome)).hexdigest(), 16)),
        "market_id": "",
        "shares": shares,
        "price": round(price, 3),
        "cash_value": shares * price,
        "usdc_size": round(shares * price, 6),
        "fees": 0.0,
        "trade_timestamp": second,
        "tx_hash": f"{rng.getrandbits(256):064x}",
        "source_route": route,
        "fetched_at": 1_790_000_000,
    }


def of_conditions(rng: random.Random, rows: int) -> bytes:
    """Consecutive fills of 20 markets."""
    found = []
    for _ in range(PAGES):
        k = some(rng, CONDITIONS)
        for number in range(rows // PAGES):
            second = began(k) + number * 3
            found.append(trade(rng, k, some(rng, WALLETS), second, "/v2/trades"))
    return b"\n".join(map(orjson.dumps, found))


def of_wallets(rng: random.Random, rows: int) -> bytes:
    """Consecutive fills of 20 wallets, over days or months, a fifth of them in another market."""
    found = []
    for _ in range(PAGES):
        w, k = some(rng, WALLETS), some(rng, CONDITIONS)
        span_s = rng.choice((2, 10, 60)) * 86_400
        until = FIRST_SECOND + rng.randrange(20_000_000, 150_000_000)
        for second in sorted(until - rng.randrange(span_s) for _ in range(rows // PAGES)):
            if rng.random() < 0.2:
                k = some(rng, CONDITIONS)
            found.append(trade(rng, k, w, second, "/v2/activity"))
    return b"\n".join(map(orjson.dumps, found))


def of_both(rng: random.Random, rows: int) -> bytes:
    """60 % of markets, 40 % of wallets, as the limits of the two routes let them come."""
    markets = rows * 3 // 5
    return of_conditions(rng, markets) + b"\n" + of_wallets(rng, rows - markets)


def cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


async def measure(
    store: client.Store,
    child: psutil.Process,
    make: Callable[[random.Random, int], bytes],
    size: int,
    batches: int,
) -> None:
    """Insert `batches` new batches, then the last one again."""
    rng = random.Random(f"{make.__name__}{size}{time.time()}")
    bodies = [make(rng, size) for _ in range(batches)]
    used, began_at = cpu_s(child), time.perf_counter()
    for lines in bodies:
        await store.insert("external_trades_raw", lines, rows=size)
    wall_s = time.perf_counter() - began_at
    used = cpu_s(child) - used
    began_at = time.perf_counter()
    await store.insert("external_trades_raw", bodies[-1], rows=size)
    again_s = time.perf_counter() - began_at
    rows = size * batches
    print(
        f"  {make.__name__:14} {size:7,} rows a batch: {rows / wall_s:9,.0f} rows/s, "
        f"child {used / rows * 1e6:5.1f} us/row, repeat {again_s * 1e3:6.0f} ms, "
        f"{len(bodies[0]) / size:.0f} bytes/row sent",
        flush=True,
    )


async def fill(store: client.Store, rows: int, *, markets_a_wallet: int | None = None) -> None:
    """Bring the table to `rows` rows.

    `markets_a_wallet`: a wallet comes back to this many markets; without it, it trades anywhere.
    """
    draw = ANYWHERE if markets_a_wallet is None else OWN_MARKETS.format(markets=markets_a_wallet)
    have = (await store.rows("SELECT count() AS n FROM external_trades_raw"))[0]["n"]
    for _ in range(have, rows, FILL_STEP):
        await store.command(FILL.format(rows=FILL_STEP, draw=draw))


async def merged(store: client.Store) -> None:
    """Wait until the background merges are done, so that they are not measured."""
    running = "SELECT count() AS n FROM system.merges"
    while (await store.rows(running))[0]["n"]:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.5)


async def report_size(store: client.Store) -> None:
    parts = (
        await store.rows(
            "SELECT sum(rows) AS n, sum(bytes_on_disk) / n AS per_row, count() AS parts "
            "FROM system.parts WHERE active AND table = 'external_trades_raw'"
        )
    )[0]
    columns = await store.rows(
        "SELECT column, round(sum(column_data_compressed_bytes) / sum(rows), 2) AS per_row "
        "FROM system.parts_columns WHERE active AND table = 'external_trades_raw' "
        "GROUP BY column ORDER BY per_row DESC LIMIT 12"
    )
    print(f"  {parts['n']:,} rows in {parts['parts']} parts, {parts['per_row']:.1f} bytes a row")
    print("  " + ", ".join(f"{row['column']} {row['per_row']}" for row in columns))


async def bench(folder: Path, existing: int, batches: int) -> None:
    address = client.Address(data_dir=folder)
    store = await client.open(address, clock=clocks.SystemClock())
    try:
        await migrate.up(store)
        endpoint = endpoint_file.read(folder)
        assert endpoint is not None
        child = psutil.Process(endpoint.pid)
        for rows in (0, existing):
            await fill(store, rows)
            await merged(store)
            print(f"with {rows:,} rows")
            for make in (of_conditions, of_wallets):
                for size in (10_000, 20_000, 50_000, 100_000):
                    await measure(store, child, make, size, max(2, batches * 20_000 // size))
                    await merged(store)
            await report_size(store)
            print(f"  child: {child.memory_info().rss / 1e6:,.0f} MB")
            if rows == 0:
                await store.command("TRUNCATE TABLE external_trades_raw")
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--existing", type=int, default=20_000_000)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        asyncio.run(bench(folder, arguments.existing, arguments.batches))


if __name__ == "__main__":
    main()
