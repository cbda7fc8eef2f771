"""Markets, events and resolutions of the sandbox's own routes, put straight into the tables."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from tests import harness

_BATCH = 20


def fill(ground: harness.Ground, url: str) -> None:
    """What the lists at `url` show, as rows of the tables below the staging views."""
    markets = [_market(row) for row in _listed(url, "markets", "&include_tag=true")]
    markets += [_clob_market(row) for row in _clob(url)]
    events = [_event(row) for row in _listed(url, "events", "")]
    put(ground, "api_market_rows", markets)
    put(ground, "api_event_rows", events)
    conditions = sorted({row["condition_id"] for row in markets} - {""})
    put(ground, "api_resolution_rows", _resolutions(url, conditions))


def put(ground: harness.Ground, table: str, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows into the store that runs."""
    lines = "\n".join(json.dumps(row) for row in rows)
    if lines:
        assert ground.query(f"INSERT INTO {table} FORMAT JSONEachRow\n{lines}") is not None


def ndjson(url: str) -> list[dict[str, Any]]:
    """The lines of one of the sandbox's streams."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  (loopback)
        return [json.loads(line) for line in answer]


def bare(condition: str) -> str:
    """A condition id as it is stored."""
    text = condition.lower().removeprefix("0x")
    return text.ljust(64, "0") if len(text) == 62 else text


def _listed(url: str, kind: str, more: str) -> Iterator[dict[str, Any]]:
    for closed in ("true", "false"):
        cursor = ""
        while True:
            asked = (
                f"{url}/gamma/{kind}/keyset?closed={closed}&version=v1&version=v2&limit=100{more}"
            )
            page = harness.ask(asked + (f"&after_cursor={cursor}" if cursor else ""))
            yield from page[kind]
            cursor = page.get("next_cursor")
            if not cursor:
                break


def _clob(url: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while cursor != "LTE=":
        page = harness.ask(f"{url}/clob/markets?next_cursor={urllib.parse.quote(cursor or 'MA==')}")
        yield from page["data"]
        cursor = page["next_cursor"]


def _market(row: dict[str, Any]) -> dict[str, Any]:
    event = (row.get("events") or [{}])[0]
    closed = bool(row.get("closed"))
    prices = [float(price) for price in json.loads(row.get("outcomePrices") or "[]")]
    return {
        "source": "gamma",
        "condition_id": bare(row.get("conditionId") or ""),
        "market_id": row["id"],
        "market_slug": row["slug"],
        "question": row["question"],
        "outcomes": json.loads(row.get("outcomes") or "[]"),
        "outcome_prices": prices,
        "token_ids": json.loads(row.get("clobTokenIds") or "[]"),
        "active": row["active"],
        "closed": closed,
        "archived": row["archived"],
        "resolved": closed and sum(prices) == 1,
        "neg_risk": row["negRisk"],
        "tags": [tag["label"] for tag in row.get("tags") or []],
        "event_id": event.get("id", ""),
        "event_slug": event.get("slug", ""),
        "start_date": _second(row.get("startDate")),
        "end_date": _second(row.get("endDate")),
        "volume": row.get("volumeNum") or 0,
    }


def _clob_market(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": "clob",
        "condition_id": bare(row["condition_id"]),
        "market_slug": row["market_slug"],
        "question": row["question"],
        "outcomes": [token["outcome"] for token in row["tokens"]],
        "token_ids": [token["token_id"] for token in row["tokens"]],
        "active": row["active"],
        "closed": row["closed"],
        "archived": row["archived"],
        "resolved": False,
        "neg_risk": row["neg_risk"],
        "tags": row["tags"] or [],
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    markets = row.get("markets") or []
    return {
        "event_id": row["id"],
        "event_slug": row["slug"],
        "title": row["title"],
        "tags": [tag["label"] for tag in row.get("tags") or []],
        "active": row["active"],
        "closed": row["closed"],
        "end_date": _second(row.get("endDate")),
        "market_ids": [market["id"] for market in markets],
        "condition_ids": [bare(market.get("conditionId") or "") for market in markets],
        "neg_risk": False,
    }


def _resolutions(url: str, conditions: Iterable[str]) -> Iterator[dict[str, Any]]:
    rest = iter(conditions)
    while batch := list(islice(rest, _BATCH)):
        asked = ",".join(f"0x{condition}" for condition in batch)
        for row in harness.ask(f"{url}/v2/resolutions?condition={asked}")["data"]:
            yield {
                "condition_id": bare(row["condition_id"]),
                "status": row["status"],
                "payouts": [payout / 1e6 for payout in row["payouts"] or []],
                "was_disputed": row["was_disputed"],
                "resolved_at": _second(row["resolved_at"]),
            }


def _second(text: str | None) -> int | None:
    return int(datetime.fromisoformat(text).timestamp()) if text else None
