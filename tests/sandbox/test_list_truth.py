"""What the truth says of lists, positions and volumes equals what any client reads from them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

from .conftest import Open, Row, Visitor

DAY = 86_400


def digest(lines: Iterable[str]) -> tuple[int, str]:
    """Count and digest, written from their description."""
    heads = [hashlib.md5(line.encode(), usedforsecurity=False).digest()[:8] for line in lines]
    return len(heads), str(sum(int.from_bytes(head, "big") for head in heads) % 2**64)


def said(truth: Any) -> tuple[int, str]:
    return truth["count"], truth["digest"]


async def gamma(visitor: Visitor, kind: str) -> AsyncIterator[Row]:
    """All rows of a keyset list: open and closed, both versions."""
    for version in ("v1", "v2"):
        for closed in ("false", "true"):
            cursor: dict[str, str] = {}
            while True:
                asked = {"closed": closed, "version": version, "limit": 100, **cursor}
                answer = await visitor.ok(f"/gamma/{kind}/keyset", **asked)
                for row in answer[kind]:
                    yield row
                if "next_cursor" not in answer:
                    break
                cursor = {"after_cursor": answer["next_cursor"]}


async def clob(visitor: Visitor) -> list[Row]:
    rows: list[Row] = []
    cursor = ""
    while cursor != "LTE=":
        answer = await visitor.ok("/clob/markets", next_cursor=cursor)
        rows += answer["data"]
        cursor = answer["next_cursor"]
    return rows


def outcome(by_gamma: Row, by_clob: Row | None) -> tuple[bool, str]:
    """Resolved and winner by the rules the truth documents."""
    closed = bool(by_gamma["closed"])
    prices = [float(price) for price in json.loads(by_gamma.get("outcomePrices") or "[]")]
    winners = [row["winner"] for row in by_clob["tokens"]] if by_clob else []
    if closed and prices.count(1) == 1 and sum(prices) == 1:
        return True, str(prices.index(1))
    if closed and winners.count(True) == 1:
        return True, str(winners.index(True))
    settled = by_gamma.get("umaResolutionStatus") in {"resolved", "settled"}
    return closed and (settled or by_gamma.get("resolutionStatus") == "resolved"), ""


def market_line(by_gamma: Row, by_clob: Row | None) -> str:
    resolved, winner = outcome(by_gamma, by_clob)
    condition = (by_gamma.get("conditionId") or "")[2:]
    head = f"{condition}|{by_gamma['id']}|{by_gamma['slug']}"
    return f"{head}|{int(by_gamma['closed'])}|{int(resolved)}|{winner}"


async def test_markets_and_events_equal_the_truth(visitor: Visitor) -> None:
    truth = await visitor.ok("/_sandbox/truth")
    listed = [row async for row in gamma(visitor, "markets")]
    by_slug = {row["market_slug"]: row for row in await clob(visitor)}
    missing = set(by_slug) - {row["slug"] for row in listed}
    assert missing == {visitor.special["slug_unlisted"]}
    listed += [await visitor.ok(f"/gamma/markets/slug/{slug}") for slug in missing]
    lines = [(row, market_line(row, by_slug.get(row["slug"]))) for row in listed]
    known = [line for row, line in lines if row.get("conditionId")]
    other = [line for row, line in lines if not row.get("conditionId")]
    assert digest(known) == said(truth["markets"])
    assert digest(other) == said(truth["markets"]["without_condition"])
    assert len(other) == 2
    events = [
        f"{event['id']}|{event['slug']}|{int(event['closed'])}|"
        + ",".join(map(str, sorted(int(market["id"]) for market in event["markets"])))
        async for event in gamma(visitor, "events")
    ]
    assert digest(events) == said(truth["events"])


async def test_resolutions_equal_the_truth(visitor: Visitor) -> None:
    conditions = sorted({row["condition_id"] for row in await clob(visitor)} - {""})
    rows: list[Row] = []
    for start in range(0, len(conditions), 20):
        asked = ",".join(conditions[start : start + 20])
        rows += (await visitor.ok("/data/v2/resolutions", condition=asked))["data"]
    lines = {
        row["condition_id"]: f"{row['condition_id'][2:]}|"
        + ",".join(map(str, row["payouts"] or ()))
        for row in rows
        if row["status"] == "resolved"
    }
    whole = (await visitor.ok("/_sandbox/truth"))["resolutions"]
    assert digest(lines.values()) == said(whole)
    half = conditions[::2]
    part = await visitor.post("/_sandbox/truth", {"wallets": [], "conditions": half})
    chosen = [line for condition, line in lines.items() if condition in half]
    assert digest(chosen) == said(part["resolutions"])
    assert 0 < len(chosen) < len(lines)


async def positions(visitor: Visitor, wallet: str) -> list[str]:
    """The lines of one wallet: two walks, no floor."""
    lines = []
    for status, more in (
        ("OPEN", {"filter_amount": 0, "include_archived": "true"}),
        ("CLOSED", {}),
    ):
        asked = {"user": wallet, "status": status, "limit": 500, **more}
        for row in await visitor.walk("/data/v2/positions", **asked):
            ids = f"{row['proxy_wallet'][2:]}|{row['condition_id'][2:]}|{row['outcome_index']}"
            micro = round(row["current_size"] * 1e6)
            lines.append(f"{ids}|{row['token_id']}|{status}|{micro}")
    return lines


async def test_positions_and_volumes_equal_the_truth(open_sandbox: Open) -> None:
    visitor = await open_sandbox(trades=9_000, wallets=120)
    ranking = await visitor.ok("/_sandbox/wallets", top=1_000)
    wallets = [row["wallet"] for row in ranking if not row["contract"]]
    walked = await asyncio.gather(*(positions(visitor, wallet) for wallet in wallets))
    truth = await visitor.ok("/_sandbox/truth")
    assert digest(line for lines in walked for line in lines) == said(truth["positions"])
    volumes: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for wallet in wallets:
        for row in await visitor.walk(
            "/data/v2/trades", user=wallet, start=1, taker_only="false", limit=1000
        ):
            held = volumes[wallet, row["timestamp"] // DAY]
            held[0] += round(row["size"] * 1e6)
            held[1] += 1
    lines = [f"{w[2:]}|{day}|{micro}|{count}" for (w, day), (micro, count) in volumes.items()]
    assert digest(lines) == said(truth["user_volume"])
    (wallet, day), (micro, count) = max(volumes.items(), key=lambda item: item[1][1])
    span = {"start": day * DAY, "end": day * DAY}
    shown = (await visitor.ok("/data/v2/user-volume", user=wallet, **span))["data"]
    assert (shown["trade_count"], round(shown["volume"] * 1e6)) == (count, micro)
    part = await visitor.post("/_sandbox/truth", {"wallets": wallets[:5], "conditions": []})
    some = [line for lines in walked[:5] for line in lines]
    assert digest(some) == said(part["positions"])
    assert part["markets"] == truth["markets"]
