"""CPU microseconds per row from the bytes of a page to insertable lines, against the floor.

Run: python tests/bench/bench_parse.py
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from polybackfill import clocks, records
from polybackfill.polymarket import pagination, parsing, trade_feed, trade_parser

PAGE_ROWS = 1000
ROUNDS = 150
WALLET = "c2ad03f79ca3f3c17d8c7de2612ce0c89b7d40ed"
SOURCE = parsing.ResponseSource("/v2/activity", "http://x/v2/activity", "unit", 1_790_700_000)


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/v2/activity"


def page_body(first_second: int, cursor: str | None) -> bytes:
    """A page as a busy wallet has it: about 690 kB, three fills a second, forty markets."""
    rng = random.Random(first_second)
    markets = [
        (f"0x{rng.getrandbits(256):064x}", [str(rng.getrandbits(255)) for _ in range(2)])
        for _ in range(40)
    ]
    rows = [_row(rng, markets, first_second + number // 3) for number in range(PAGE_ROWS)]
    pagination = {"limit": 1000, "offset": 0, "has_more": bool(cursor), "next_cursor": cursor}
    return json.dumps({"data": rows, "pagination": pagination}, separators=(",", ":")).encode()


def _row(
    rng: random.Random, markets: list[tuple[str, list[str]]], second: int
) -> dict[str, object]:
    condition, tokens = rng.choice(markets)
    outcome = rng.randrange(2)
    size, price = round(rng.random() * 100 + 0.01, 6), round(rng.random(), 10)
    return {
        "proxy_wallet": "0x" + WALLET,
        "timestamp": second,
        "condition_id": condition,
        "type": "TRADE",
        "size": size,
        "usdc_size": round(size * price, 6),
        "transaction_hash": f"0x{rng.getrandbits(256):064x}",
        "price": price,
        "token_id": tokens[outcome],
        "side": rng.choice(["BUY", "SELL"]),
        "outcome_index": outcome,
        "title": "Bitcoin Up or Down - September 28, 2:15PM-2:30PM ET",
        "slug": "btc-updown-15m-1790619300",
        "icon": "",
        "event_slug": "btc-updown-15m-1790619300",
        "outcome": ["Up", "Down"][outcome],
        "name": "bosona",
        "pseudonym": "Impolite-Sister",
        "bio": "",
        "profile_image": "",
        "profile_image_optimized": "",
    }


def best_us_per_row(work: Callable[[], object], rows: int = PAGE_ROWS) -> float:
    """The quietest of many rounds: other processes only ever add to it."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best / rows * 1e6


def walk_and_encode(bodies: list[bytes]) -> int:
    """All pages of one feed, as the daemon takes them, as lines."""

    async def run() -> int:
        async def fetch(_feed: pagination.FeedQuery, cursor: str | None) -> Reply:
            return Reply(bodies[int(cursor or 0)])

        encoded = 0
        feed = trade_feed.build_wallet_query(WALLET)
        context = pagination.RequestContext(fetch, clocks.SystemClock())
        async for page in trade_feed.pages(feed, None, context):
            encoded += len(records.encode_lines(page.rows_of(records.Trade)))
        return encoded

    return asyncio.run(run())


def main() -> None:
    bodies = [page_body(1_790_000_000 + 400 * number, str(number + 1)) for number in range(9)]
    bodies.append(page_body(1_790_000_000 + 400 * 9, None))
    trades = trade_parser.page(bodies[0], SOURCE).trades
    floor = best_us_per_row(lambda: orjson.loads(bodies[0]))
    figures = {
        "orjson.loads and thrown away": floor,
        "parse.page": best_us_per_row(lambda: trade_parser.page(bodies[0], SOURCE)),
        "records.encode_lines": best_us_per_row(lambda: records.encode_lines(trades)),
        "walk of 10 pages, encoded": best_us_per_row(lambda: walk_and_encode(bodies), 10_000),
    }
    print(f"one page: {PAGE_ROWS} rows, {len(bodies[0]):,} bytes")
    for name, us in figures.items():
        print(f"{name:32} {us:6.2f} us/row {us / floor:6.2f} x floor")


if __name__ == "__main__":
    main()
