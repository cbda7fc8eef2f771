"""Facts of a run that never was, and an endpoint that serves them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from polybackfill.kinds import registry
from polybackfill.monitoring import endpoint, latest_facts, listen_address
from polybackfill.polymarket import endpoints

TOKEN = "a-token-of-24-characters"
RUN_NAME = "main"


def part(**changed: Any) -> dict[str, Any]:
    """One part in the middle of its work."""
    return {
        "units": 1_000,
        "done": 600,
        "error": 2,
        "open": 8,
        "complete": False,
        "share": 0.602,
        "pages": 4_321,
        "set_aside": 1,
        "retries": 7,
        "requests_left": 5_000,
        "eta_s": 310.5,
        "unknown_fields": {"newField": 3},
        "workers": 10,
        "busy": 8,
        "waits": {"working": 3, "limit": 5, "pause data 12 s": 1, "queue": 1},
        "longest_idle_s": 1.5,
        "stalls": 1,
    } | changed


def budget(**changed: Any) -> dict[str, Any]:
    """One budget that is nearly spent."""
    return {
        "limit": 200,
        "window_s": 10.0,
        "allowed_per_s": 19.6,
        "sent": 5_000,
        "utilisation": 0.98,
        "in_flight": 12,
        "usual_latency_s": 0.6,
        "cuts": 1,
        "refusals": 2,
        "violations": 0,
    } | changed


def picture(**changed: Any) -> dict[str, Any]:
    """A run with every part and every budget, in the form of the status file."""
    return {
        "run": RUN_NAME,
        "state": "running",
        "still_s": 0.4,
        "waiting_for": None,
        "started_at": 1_795_948_444.8,
        "took_s": 3_600.0,
        "stop_at": None,
        "now": 1_795_952_044.8,
        "parts": {kind: part() for kind in registry.KINDS},
        "share": 0.61,
        "eta_s": 620.0,
        "rows": {"external_trades_landing": 123_456, "api_market_rows": 789},
        "refused_rows": 4,
        "batch": {"rows": 541, "bytes": 429_159, "age_s": 0.181},
        "store_wait_s": 0.25,
        "budgets": {name: budget() for name in endpoints.PUBLISHED},
        "pauses": {"data": {"pauses": 2, "left_s": 11.5}},
        "out": {"/v2/trades": 42.0},
        "outcomes": {"/v2/trades": {"response": 900, "retry": 7, "unreadable": 1}},
        "source_lag_s": 3.5,
        "following": {
            "since": 1_795_948_000,
            "fresh_to": 1_795_952_037,
            "lag_s": 7.8,
            "gaps": [[1_795_949_000, 1_795_949_059]],
        },
        "held_back": {"resolutions": "the list has no winner any more"},
        "machine": {
            "memory_bytes": 150_000_000,
            "checkpoint_age_s": 1.5,
            "disks": {"data": {"free_bytes": 9_000_000_000, "stop_below_bytes": 500_000_000}},
        },
    } | changed


@contextlib.asynccontextmanager
async def listening(
    latest: latest_facts.LatestFacts,
) -> AsyncIterator[str]:
    """The URL of an endpoint that serves `latest`."""
    access = listen_address.Access(listen_address.ListenAddress("127.0.0.1", 0), TOKEN)
    served = endpoint.Endpoint(latest, access, stall_s=120.0)
    try:
        yield await served.open()
    finally:
        await served.close()
