"""Lists that answer another question, stop early or change while they are read: none is silent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests import harness

from polybackfill.checks import table_digest

KEPT = ("trades", "activity", "positions")
BY_ID = ("markets", "trades", "activity", "resolutions")
SINGLE = ("clob-market", "market", "trades", "activity", "positions", "resolutions")
FILTERS = {
    "markets": (("closed",), ("start_date_min", "start_date_max")),
    "events": (("closed",), ("start_date_min", "start_date_max")),
    "positions": (("status",),),
    "activity": (("sort_direction",),),
}
FAULTS: list[dict[str, Any]] = [
    *({"kind": "ignored_filter", "route": route, "count": 2} for route in BY_ID),
    *({"kind": "wrong_rows", "route": route, "count": 2} for route in SINGLE),
    *(
        {"kind": "ignored_filter", "route": route, "filters": names, "after": 6, "count": 2}
        for route, groups in FILTERS.items()
        for names in groups
    ),
    *({"kind": "cursor_trips", "route": route, "count": 2} for route in KEPT),
    {"kind": "clamped", "route": "positions", "probability": 0.2},
    {"kind": "clamped", "route": "trades", "probability": 0.2, "limit": 50},
    {"kind": "500", "route": "events", "after": 30, "count": 8},  # dies halfway
]
SHOWN = "SELECT condition_id, resolved, winning_outcome FROM api_markets_staging"
OPEN = "SELECT condition_id FROM resolution_disagreements WHERE disagreement != 'payouts'"
# Where a run stands when a market closes: (route, requests of it before), and whether the run that
# reads it as open comes to know.
CLOSINGS = (
    ("clob", 0, True),
    ("markets", 1, True),
    ("markets", 30, True),
    ("events", 10, True),
    ("resolutions", 0, True),
    ("trades", 0, False),
    ("positions", 30, False),
)


@pytest.mark.long
def test_a_run_of_everything_ends_right(tmp_path: Path) -> None:
    """Every route answers another question now and then, pages are clamped, an event list dies
    halfway; then markets close and positions move while a second run reads them.

    Seed 004, dimension build: event paging survives an error.
    """
    settings = {"host_pause_s": 0.3, "backoff_cap_s": 1}
    with (
        harness.sandbox(trades=10_000, wallets=60, markets=300, now=int(time.time())) as sandbox,
        harness.ground(tmp_path, sandbox.url, **settings) as ground,
    ):
        sandbox.faults(*FAULTS)
        ended = ground.run("run", within_s=150)
        unmet = [rule for rule in sandbox.ask("faults") if not rule["fired"]]
        assert unmet == []
        sandbox.reset()
        ended.expect(0)
        ground.prove_everything(sandbox)
        assert "3 resolutions disagree with Gamma or the order book" in ended.out, (
            "what no source can settle is said"
        )

        closing = change_universe(sandbox)
        ground.run("run", within_s=60).expect(0)
        assert [rule for rule in sandbox.ask("faults") if not rule["fired"]] == []
        sandbox.reset()
        truth, found = harness.true_tables(sandbox), ground.tables()
        assert [name for name in KEPT if truth[name] != found[name]] == []
        known = {row["condition_id"]: row for row in ground.sql(SHOWN)}
        for condition, is_known in closing.items():
            row = known[condition]
            assert not is_known or (row["resolved"], row["winning_outcome"]) == (True, 0), row
        listed = [row["condition_id"] for row in ground.sql(OPEN)]
        assert listed == [], "what one source knew was asked of the others in the same run"

        ground.run("run", within_s=60).expect(0)
        ground.prove_everything(sandbox)
        told = ground.run("report", "coverage")
        told.expect(0)
        assert "Every part is proven complete" in told.out, told.out


def change_universe(sandbox: harness.Sandbox) -> dict[str, bool]:
    """Let markets close, one appear, and positions move between their pages, while a run goes on.

    The conditions, and whether that very run must know.
    """
    shown = [
        market["condition_id"]
        for market in sandbox.lines("markets")
        if market["condition_id"] and market["listed"] and not market["closed"]
    ]
    closings = list(zip(shown[3:], CLOSINGS, strict=False))
    closing = [
        {"kind": "market_closes", "route": route, "after": after, "target": condition}
        for condition, (route, after, _) in closings
    ]
    moving = [
        {"kind": "positions_change", "route": "positions", "match": wallet, "target": wallet}
        | {"after": number % 2}
        for number, wallet in enumerate(sandbox.wallets[:6])
    ]
    unlisted = sandbox.ask("universe")["special"]["market_unlisted"]
    appearing = {"kind": "market_appears", "route": "markets", "after": 50, "target": unlisted}
    # A request meets one rule, the first: a market that closed at a request of a wallet that moves
    # would put the move off to its last request, after which no reader can know of it.
    sandbox.faults(*moving, *closing, appearing)
    return {condition.removeprefix("0x"): known for condition, (_, _, known) in closings}


@pytest.mark.long
def test_cursors_that_trip_the_edge_are_walked_around(tmp_path: Path) -> None:
    """A list that is too full for one cursor is cut by dates until no cursor is needed."""
    settings = {"host_pause_s": 0.3, "backoff_cap_s": 1}
    with (
        harness.sandbox(trades=8_000, wallets=60, markets=4_000) as sandbox,
        harness.ground(tmp_path, sandbox.url, **settings) as ground,
    ):
        sandbox.faults({"kind": "cursor_trips", "route": "markets", "count": 2})
        ground.run("run", "markets", "events", within_s=150).expect(0)
        assert sandbox.fired()["cursor_trips"] > 0
        truth = sandbox.ask("truth")
        for name, sql in (
            ("markets", table_digest.TABLES["markets"]),
            ("events", table_digest.TABLES["events"]),
        ):
            (found,) = ground.sql(sql)
            assert (name, found["digest"]) == (name, truth[name]["digest"])
