"""Lists that answer another question, stop early or change while they are read: none is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import harness

from polybackfill.views import digest

FAULTS: list[dict[str, Any]] = [
    {"kind": "ignored_filter", "route": "markets", "count": 3},
    {"kind": "ignored_filter", "route": "trades", "count": 3},
    {"kind": "ignored_filter", "route": "resolutions", "count": 2},
    {"kind": "clamped", "route": "positions", "probability": 0.2},
    {"kind": "clamped", "route": "trades", "probability": 0.2, "limit": 50},
    {"kind": "500", "route": "events", "after": 30, "count": 8},  # dies halfway
]


@pytest.mark.timeout(240)
def test_a_run_of_everything_ends_right(tmp_path: Path) -> None:
    """A filter that is ignored, pages that are clamped, an event list that dies halfway."""
    settings = {"host_pause_s": 0.3, "backoff_cap_s": 1}
    with (
        harness.sandbox(trades=10_000, wallets=60, markets=300) as sandbox,
        harness.ground(tmp_path, sandbox.url, **settings) as ground,
    ):
        sandbox.faults(*FAULTS)
        ended = ground.run("run", within_s=150)
        fired = sandbox.fired()
        assert all(fired[kind] > 0 for kind in ("ignored_filter", "clamped", "500"))
        sandbox.reset()
        ended.expect(0)
        ground.prove_everything(sandbox)


@pytest.mark.timeout(240)
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
        for name, sql in (("markets", digest.MARKETS), ("events", digest.EVENTS)):
            (found,) = ground.sql(sql)
            assert (name, found["digest"]) == (name, truth[name]["digest"])
