"""The check against `/v2/live-volume`: an independent figure for every market of every event.

Twenty events share a request, so a million of them take a quarter of an hour at the limit. Markets
still trade while the check asks: of those that differ the newest fill is asked for, and where it is
newer than what was read, nothing is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import orjson

from polybackfill import errors
from polybackfill.checks import check_result, temporary_table, volume_checks
from polybackfill.polymarket import http, official_figures, trade_feed
from polybackfill.store import client, query_files

NAME = "live-volume"
_CHUNK = 2_000  # events read from the store at once
_AT_ONCE = 8
_LOOKED_AT = 200  # markets that differ, of which the newest fill is asked for
# Shares that rounding of the API's figure and of so many fills may leave.
_SHARES, _SHARE = 0.01, 1e-6
_CLAIM = "a market's trade sizes, both sides, add up to twice its volume at /v2/live-volume"

_EVENTS = query_files.read("events_read_to_their_end")
_COLUMNS = "(condition_id String, volume Float64)"
_COMPARED = query_files.read("volumes_beside_live_volume")


async def live_volumes(context: check_result.CheckContext) -> check_result.CheckResult:
    """Every market of every event has the volume that the API counts."""
    if context.get is None:
        return check_result.CheckResult(NAME, _CLAIM, "skipped", advice=context.silent)
    async with temporary_table.create(
        context.store, _COLUMNS, order="condition_id"
    ) as volumes_table:
        try:
            events = await _fill(context.store, context.get, volumes_table)
        except errors.GiveUp as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            advice = "the API does not serve /v2/live-volume"
            return check_result.CheckResult(NAME, _CLAIM, "skipped", advice=advice)
        return await _compare(context.store, context.get, volumes_table, events)


async def _compare(
    store: client.Store, get: http.Get, volumes_table: str, events: int
) -> check_result.CheckResult:
    compared = _COMPARED.format(
        told=volumes_table,
        near_shares=_SHARES,
        near_share=_SHARE,
        gamma_shares=volume_checks.VOLUME_SHARES,
        window=volume_checks.WINDOW,
    )
    (counts,) = await store.rows(
        "SELECT count() AS markets, countIf(differs) AS apart, "
        f"countIf(differs AND gamma_agrees) AS gamma_agrees_with_us FROM ({compared})"
    )
    evidence = {"events": events, **counts, "traded_since": 0, "differing": 0}
    if not counts["markets"]:
        advice = "no event has a market that is fetched whole: polybackfill run events conditions"
        return check_result.CheckResult(NAME, _CLAIM, "skipped", evidence, advice=advice)
    wrong = []
    for row in await store.rows(
        f"SELECT * FROM ({compared}) WHERE differs AND NOT gamma_agrees "
        f"ORDER BY closed DESC, abs(stored - volume) DESC, condition_id LIMIT {_LOOKED_AT}"
    ):
        if await _has_traded_since(get, row):
            evidence["traded_since"] += 1
        else:
            wrong.append(row)
    evidence["differing"] = len(wrong)
    return check_result.pass_or_fail(
        NAME,
        _CLAIM,
        holds=not wrong,
        evidence=evidence,
        examples=[_example(row) for row in wrong[: check_result.EXAMPLES]],
        advice="fetch them again: polybackfill plan reset --condition-id ID, polybackfill run",
    )


async def _fill(store: client.Store, get: http.Get, volumes_table: str) -> int:
    """What the API says of every event into the table; how many events there are."""
    at_once, events = asyncio.Semaphore(_AT_ONCE), 0

    async def ask(batch: list[int]) -> dict[str, float]:
        async with at_once:
            return await official_figures.fetch_event_volumes(get, batch)

    async for chunk in _events(store):
        events += len(chunk)
        size = official_figures.MAX_EVENTS
        batches = [chunk[first : first + size] for first in range(0, len(chunk), size)]
        lines = b"".join(
            orjson.dumps({"condition_id": condition, "volume": shares}) + b"\n"
            for volumes in await asyncio.gather(*map(ask, batches))
            for condition, shares in volumes.items()
        )
        if lines:
            await store.insert(volumes_table, lines, rows=lines.count(b"\n"))
    return events


async def _events(store: client.Store) -> AsyncIterator[list[int]]:
    after = 0
    while True:
        parameters = {"after": after, "most": official_figures.LARGEST_EVENT_ID, "chunk": _CHUNK}
        rows = await store.rows(_EVENTS, parameters=parameters)
        if not rows:
            return
        yield [row["event"] for row in rows]
        after = rows[-1]["event"]


async def _has_traded_since(get: http.Get, row: dict[str, Any]) -> bool:
    """Whether the feed lists a fill of the market that is newer than its walk."""
    feed = trade_feed.build_condition_query([row["condition_id"]]).with_page_size(1)
    response = await get(feed.route, feed.params)
    return any(
        second > row["walked_second"]
        for second in trade_feed.parse_seconds(response.body, response.url)
    )


def _example(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "condition": f"0x{row['condition_id']}",
        "volume": round(row["volume"], 6),
        "stored": round(row["stored"], 6),
        "gamma": row["gamma"],
        "difference": round(row["stored"] - row["volume"], 6),
    }
