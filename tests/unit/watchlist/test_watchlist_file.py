"""The watchlist: one entry per strategy and market whoever adds, and a line for every change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polybackfill import errors
from polybackfill.watchlist import watchlist_file

AT = "2026-11-21T08:00:00Z"


def entry(number: int, strategy: str = "s", **changes: Any) -> watchlist_file.Entry:
    given = {
        "strategy_id": strategy,
        "market_id": str(number),
        "condition_id": f"0x{number:064x}",
        "side": "YES",
        "reason": "a test",
        "added_at": AT,
        "category": "Sports",
        "tags": ["Soccer"],
        "event_id": "9",
        "metadata": {
            "auto_added": True,
            "triggered_by_wallet": f"0x{number % 2:040x}",
            "wallet_coverage_pct": 12.5,
            "wallet_rank": 3,
            "strategy_name": "mine",
        },
    }
    return watchlist_file.Entry(**{**given, **changes})


def logged(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / watchlist_file.LOG_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_one_entry_per_strategy_and_market(tmp_path: Path) -> None:
    """Seed 004, watchlist: one entry per strategy and market."""
    listed = watchlist_file.Watchlist(tmp_path)
    assert listed.entries() == []
    assert listed.add([entry(1), entry(1, side="NO"), entry(2)]) == [entry(1), entry(2)]
    assert listed.add([entry(1), entry(1, "other")]) == [entry(1, "other")]
    # the same market under one of its two ids
    assert listed.add([entry(1, market_id=None), entry(2, condition_id=None)]) == []
    assert listed.entries("s") == [entry(1), entry(2)]
    assert len(listed.entries()) == 3
    with pytest.raises(ValueError, match="needs a market id or a condition id"):
        listed.add([entry(3, market_id=None, condition_id=None)])


def test_remove(tmp_path: Path) -> None:
    listed = watchlist_file.Watchlist(tmp_path)
    listed.add([entry(1), entry(2), entry(1, "other")])
    later = "2026-11-21T09:00:00Z"
    removed = listed.remove(lambda one: one.market_id == "1" and one.strategy_id == "s", at=later)
    assert removed == [entry(1)]
    assert listed.remove(lambda one: one.market_id == "7", at=later) == []
    assert listed.entries() == [entry(2), entry(1, "other")]
    assert [(line["action"], line["timestamp"]) for line in logged(tmp_path)] == [
        *[("added", AT)] * 3,
        ("removed", later),
    ]
    assert listed.add([entry(1)]) == [entry(1)]


def test_the_log_names_what_the_seed_names(tmp_path: Path) -> None:
    """Seed 004, watchlist: category, tags, event id first-class in entry and audit line."""
    watchlist_file.Watchlist(tmp_path).add([entry(1)])
    (line,) = logged(tmp_path)
    assert line == {
        "timestamp": AT,
        "action": "added",
        "wallet": f"0x{1:040x}",
        "market_id": "1",
        "condition_id": f"0x{1:064x}",
        "strategy_id": "s",
        "strategy_name": "mine",
        "side": "YES",
        "reason": "a test",
        "category": "Sports",
        "canonical_category": "Sports",
        "tags": ["Soccer"],
        "raw_tags": ["Soccer"],
        "event_id": "9",
        "triggering_wallet_coverage_pct": 12.5,
        "triggering_wallet_rank": 3,
        "coverage_pct": 12.5,
        "pnl_rank": 3,
    }
    (kept,) = json.loads((tmp_path / watchlist_file.LIST_FILE).read_text())["entries"]
    assert (kept["category"], kept["tags"], kept["event_id"]) == ("Sports", ["Soccer"], "9")
    assert kept["status"] == "watching"


def test_statistics() -> None:
    entries = [entry(1), entry(3), entry(2), entry(4, metadata={"auto_added": False})]
    assert watchlist_file.statistics(entries) == {
        "total": 4,
        "autoAdded": 3,
        "manualAdded": 1,
        "triggeredByWallets": {f"0x{1:040x}": 2, f"0x{0:040x}": 1},
    }


def test_a_torn_line_of_the_log_is_closed(tmp_path: Path) -> None:
    log = tmp_path / watchlist_file.LOG_FILE
    log.parent.mkdir()
    log.write_text('{"timestamp":"2026')
    watchlist_file.Watchlist(tmp_path).add([entry(1)])
    torn, whole = log.read_text().splitlines()
    assert torn == '{"timestamp":"2026'
    assert json.loads(whole)["market_id"] == "1"


@pytest.mark.parametrize("content", ["{", "[]", '{"version":2,"entries":[]}'])
def test_a_damaged_list_is_named_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / watchlist_file.LIST_FILE
    path.write_text(content)
    with pytest.raises(errors.Stop, match=r"watchlist\.json"):
        watchlist_file.Watchlist(tmp_path).add([entry(1)])
    assert path.read_text() == content
