"""The dimensions as files: both seeds and `dimension_coverage_report.json`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson

from polybackfill import clocks, errors, settings
from polybackfill.filesystem import files, host_lock
from polybackfill.inputs import dimension_files
from polybackfill.store import client, dimensions

COVERAGE_FILE = "dimension_coverage_report.json"

_TIME = "formatDateTime({0}, '%Y-%m-%dT%H:%i:%SZ', 'UTC')"
# The store writes the JSON: the rows of a million markets need not become objects here.
_MARKETS = f"""
SELECT
    concat('0x', condition_id) AS condition_id,
    nullIf(market_id, '') AS market_id,
    nullIf(event_id, '') AS event_id,
    nullIf(event_slug, '') AS event_slug,
    question, category, tags, resolved_outcome, payout_yes, payout_no, payouts, outcomes,
    {_TIME.format("m.resolved_at")} AS resolved_at
FROM markets_dim AS m ORDER BY m.condition_id
"""
_EVENTS = f"""
SELECT
    event_id, nullIf(event_slug, '') AS event_slug, title, category, tags, status,
    {_TIME.format("ends_at")} AS ends_at
FROM events_dim ORDER BY toUInt64OrZero(event_id), event_id
"""

LOCK_FILE = "dims.lock"


async def write(store: client.Store, folder: Path, *, generated_at: str) -> dict[str, Any]:
    """Write the three files of the tables as they are; the coverage report as written.

    Raises errors.Stop when the disk refuses; each file is the old one or the new one.
    """
    await dimension_files.write(
        folder / dimension_files.MARKETS_FILE, store.stream(_MARKETS, "JSONEachRow")
    )
    await dimension_files.write(
        folder / dimension_files.EVENTS_FILE, store.stream(_EVENTS, "JSONEachRow")
    )
    report = {"generated_at": generated_at, **await dimensions.coverage(store)}
    path = folder / COVERAGE_FILE
    with files.stopping("write", path):
        files.write_atomic(path, orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    return report


async def make_report(store: client.Store, chosen: settings.Settings) -> dict[str, Any]:
    """As `dims build`, at the end of a run. Raises errors.Stop, also when the command is at it."""
    with host_lock.hold(chosen.backfill.data_dir / LOCK_FILE, "dims build", within_s=0):
        return await build(store, chosen)


async def build(store: client.Store, chosen: settings.Settings) -> dict[str, Any]:
    """Make the tables anew, then the files; the coverage report, with the counts `by_category`.

    Raises errors.Stop where no market is stored yet.
    """
    (known,) = await store.rows("SELECT count() AS markets FROM api_markets_staging")
    if not known["markets"]:
        raise errors.Stop(
            "no market is stored yet, so there is nothing to build dimensions from: "
            "polybackfill run markets events"
        )
    await dimensions.build(store)
    report = await write(store, chosen.backfill.data_dir, generated_at=clocks.utc_text(time.time()))
    by_category = await store.rows(
        "SELECT toString(category) AS category, count() AS markets, "
        "countIf(notEmpty(payouts)) AS with_payouts FROM markets_dim "
        "GROUP BY category ORDER BY markets DESC, category"
    )
    return {**report, "by_category": by_category}
