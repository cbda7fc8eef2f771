"""The sandbox's markets and positions put into a desk's store, by a reader of their own."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests import harness
from tests.commands import desk as desks

from polybackfill.store import rendezvous

_READ_AT = "2026-11-21 00:00:00"


def load(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Every market with a condition id, and the positions of every wallet."""
    insert(desk, "api_market_rows", list(_markets(sandbox)))
    insert(desk, "api_positions_landing", list(_positions(sandbox)))


def insert(desk: desks.Desk, table: str, rows: list[dict[str, Any]]) -> None:
    """JSON rows into a table of the desk's database."""
    endpoint = rendezvous.read(desk.data / "clickhouse")
    assert endpoint is not None
    asked = urllib.parse.urlencode(
        {
            "query": f"INSERT INTO {table} FORMAT JSONEachRow",
            "database": desk.environment["CLICKHOUSE_DATABASE"],
            "date_time_input_format": "best_effort",
        }
    )
    address = f"http://{endpoint.host}:{endpoint.port}/?{asked}"
    content = "\n".join(map(json.dumps, rows)).encode()
    with urllib.request.urlopen(address, data=content, timeout=30) as answer:
        assert answer.status == 200


def _markets(sandbox: harness.Sandbox) -> Iterator[dict[str, Any]]:
    with urllib.request.urlopen(f"{sandbox.url}/_sandbox/markets", timeout=30) as answer:  # noqa: S310
        for line in answer:
            market = json.loads(line)
            if not market["condition_id"]:
                continue
            (condition,) = desks.bare([market["condition_id"]])
            yield {
                "source": "gamma",
                "condition_id": condition,
                "market_id": str(market["market_id"]),
                "market_slug": market["slug"] or "",
                "question": market["question"] or "",
                "outcomes": market["outcomes"] or [],
                "outcome_prices": [],
                "token_ids": market["token_ids"] or [],
                "active": market.get("active", True),
                "closed": market["closed"],
                "archived": market.get("archived", False),
                "resolved": bool(market["payouts"]),
                "winning_outcome": None,
                "start_date": _time(market["start"]),
                "end_date": _time(market["end"]),
                "volume": market["volume"],
                "neg_risk": market["neg_risk"],
                "event_id": str(market["event_id"] or ""),
                "tags": [],
                "fetched_at": _READ_AT,
            }


def _time(second: int) -> str | None:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S") if second else None


def _positions(sandbox: harness.Sandbox) -> Iterator[dict[str, Any]]:
    for wallet in sandbox.wallets:
        (bare,) = desks.bare([wallet])
        for status in ("OPEN", "CLOSED"):
            for held in _pages(sandbox, wallet, status):
                yield {
                    "wallet_address": bare,
                    "condition_id": desks.bare([held["condition_id"]])[0],
                    "outcome": held["outcome_index"],
                    "asset_id": held["token_id"],
                    "status": held["status"],
                    "size": held["current_size"],
                    "timestamp": _READ_AT,
                    "version": 3,
                }
        yield {"wallet_address": bare, "timestamp": _READ_AT, "version": 3, "is_end": True}


def _pages(sandbox: harness.Sandbox, wallet: str, status: str) -> Iterator[dict[str, Any]]:
    asked = {"user": wallet, "status": status, "limit": "1000", "filter_amount": "0"}
    while True:
        page = harness.ask(f"{sandbox.url}/data/v2/positions?{urllib.parse.urlencode(asked)}")
        yield from page["data"]
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            return
        asked["cursor"] = cursor
