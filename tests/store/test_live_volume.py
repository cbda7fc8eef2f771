"""The check against `/v2/live-volume`: what differs, what only traded on, what Gamma backs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.store.conftest import insert, lines, trade
from tests.store.test_universe import market

from polybackfill import errors
from polybackfill.checks import check_result, live_volume_check
from polybackfill.polymarket import endpoints, http
from polybackfill.store import client

NAMES = ("equal", "witness", "later", "short")
CONDITIONS = {name: f"{number:064x}" for number, name in enumerate(NAMES, start=1)}
WALKED = 1_790_000_000
STORED = 50.0  # shares of one side of each market


class Api:
    """Answers as the API does: volumes of events, and the newest fill of a market."""

    def __init__(self, volumes: dict[str, float], newest: dict[str, int]) -> None:
        self.volumes = volumes
        self.newest = newest
        self.events: list[str] = []

    async def get(self, route: endpoints.Route, asked: Sequence[tuple[str, str]]) -> http.Response:
        params = dict(asked)
        if route == endpoints.LIVE_VOLUME:
            self.events += params["event_id"].split(",")
            rows = [
                {"condition_id": f"0x{CONDITIONS[name]}", "taker_volume": shares}
                for name, shares in self.volumes.items()
            ]
            return reply({"data": {"taker_volume_total": 0, "conditions": rows}})
        assert params["limit"] == "1"
        (name,) = [one for one in NAMES if f"0x{CONDITIONS[one]}" == params["condition"]]
        row = {"timestamp": self.newest[name]}
        page = {"has_more": True, "next_cursor": "c"}
        return reply({"data": [row], "pagination": page})


def reply(document: object) -> http.Response:
    return http.Response(200, json.dumps(document).encode(), {}, 0.0, "http://x")


async def fill(store: client.Store) -> None:
    """Four markets of two events, each read to its end with the same trades."""
    gamma = {"equal": STORED, "witness": STORED, "later": 70.0, "short": 70.0}
    rows = [
        market("gamma", condition_id=condition, market_id=str(number), event_id=str(number % 2 + 1),
               volume=gamma[name], start_date=WALKED - 9_000_000)
        for number, (name, condition) in enumerate(CONDITIONS.items())
    ]  # fmt: skip
    await store.insert("api_market_rows", lines(rows), rows=len(rows))
    fills = [
        trade(number, condition_id=condition, shares=STORED, tx_hash=f"{number // 2:064x}")
        for number, condition in enumerate(sorted([*CONDITIONS.values()] * 2))
    ]
    await insert(store, fills)
    plan: list[dict[str, Any]] = [
        {"condition_id": condition, "status": "done", "last_run_at": WALKED}
        for condition in CONDITIONS.values()
    ]
    await store.insert("condition_backfill_plan", lines(plan), rows=len(plan))


async def check(store: client.Store, get: http.Get | None) -> check_result.CheckResult:
    scene = check_result.CheckContext(store, None, get, silent="nobody asks")
    return await live_volume_check.live_volumes(scene)


async def test_a_market_that_lacks_fills_is_the_only_one_that_is_named(
    migrated: client.Store,
) -> None:
    await fill(migrated)
    volumes = {"equal": STORED + 1e-6, "witness": 44.5, "later": 70.0, "short": 70.0}
    api = Api(volumes, {"later": WALKED + 5, "short": WALKED - 5})
    found = await check(migrated, api.get)
    assert sorted(api.events) == ["1", "2"]
    assert found.outcome == "failed"
    (example,) = found.examples
    assert example["condition"] == f"0x{CONDITIONS['short']}"
    assert (example["stored"], example["volume"], example["difference"]) == (50.0, 70.0, -20.0)
    evidence = {"events": 2, "markets": 4, "apart": 3, "gamma_agrees_with_us": 1}
    assert found.evidence == {**evidence, "traded_since": 1, "differing": 1}
    api.newest["short"] = WALKED + 1
    assert (await check(migrated, api.get)).outcome == "passed"


async def test_without_an_answer_nothing_is_compared(migrated: client.Store) -> None:
    async def missing(_route: endpoints.Route, _asked: Sequence[tuple[str, str]]) -> http.Response:
        raise errors.GiveUp("no such route", status=404)

    assert (await check(migrated, None)).advice == "nobody asks"
    assert (await check(migrated, missing)).outcome == "skipped"
    await fill(migrated)
    found = await check(migrated, missing)
    assert (found.outcome, found.advice) == ("skipped", "the API does not serve /v2/live-volume")
