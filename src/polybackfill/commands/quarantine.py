"""`polybackfill quarantine list` and `replay`."""

from __future__ import annotations

import argparse
import time
import urllib.parse
from typing import Any

from polybackfill import errors, records, settings
from polybackfill.commands import context
from polybackfill.daemon import writer
from polybackfill.polymarket import parse
from polybackfill.store import client
from polybackfill.views import tables

_CHUNK = 1_000
_COLUMNS = "quarantine_id AS id, reason, request, raw, unit"


def show(arguments: argparse.Namespace) -> int:
    """Rows by reason, then examples with their request."""
    chosen = context.settings_of(arguments)
    report = context.run(_show(chosen, arguments.limit))
    if arguments.json:
        context.print_json(report)
        return errors.EXIT_OK
    tables.show("by reason", report["by_reason"], "nothing is set aside")
    tables.show("newest", report["newest"])
    return errors.EXIT_OK


async def _show(chosen: settings.Settings, limit: int) -> dict[str, Any]:
    if limit < 1:
        raise errors.Stop(f"--limit {limit}: show at least 1 row")
    async with context.open_store(chosen, migrate=True) as store:
        return {
            "by_reason": await store.rows(
                "SELECT reason, count() AS rows, max(rejected_at) AS newest FROM quarantine "
                "GROUP BY reason ORDER BY rows DESC"
            ),
            "newest": await store.rows(
                f"SELECT {_COLUMNS} FROM quarantine ORDER BY rejected_at DESC LIMIT {limit}"
            ),
        }


def replay(arguments: argparse.Namespace) -> int:
    """Parse every row again; exit 3 when some are still not understood."""
    chosen = context.settings_of(arguments)
    counts = context.run(_replay(chosen))
    if arguments.json:
        context.print_json(counts)
    else:
        print(f"{counts['understood']:,} rows moved to their tables, {counts['left']:,} left")
    return errors.EXIT_UNITS_IN_ERROR if counts["left"] else errors.EXIT_OK


async def _replay(chosen: settings.Settings) -> dict[str, int]:
    async with context.open_store(chosen, migrate=True) as store:
        understood = left = 0
        after = ""
        while chunk := await _chunk(store, after):
            after = chunk[-1]["id"]
            moved = await _move(store, chunk)
            understood += moved
            left += len(chunk) - moved
        return {"understood": understood, "left": left}


async def _chunk(store: client.Store, after: str) -> list[dict[str, Any]]:
    return await store.rows(
        f"SELECT {_COLUMNS} FROM quarantine WHERE quarantine_id > {{after:String}} "
        f"ORDER BY quarantine_id LIMIT {_CHUNK}",
        parameters={"after": after},
    )


async def _move(store: client.Store, chunk: list[dict[str, Any]]) -> int:
    """Insert what is understood, then drop it from quarantine; a crash between repeats nothing."""
    found: dict[str, list[Any]] = {writer.TRADES: [], writer.ACTIVITY: []}
    ids = []
    for row in chunk:
        try:
            usable = parse.one_row(row["raw"], _source(row))
        except errors.Reject:
            continue
        trade = isinstance(usable, records.Trade)
        found[writer.TRADES if trade else writer.ACTIVITY].append(usable)
        ids.append(row["id"])
    for table, rows in found.items():
        if rows:
            await store.insert(table, records.encode_lines(rows), rows=len(rows))
    if ids:
        listed = ", ".join(f"'{quarantine_id}'" for quarantine_id in ids)
        await store.command(f"ALTER TABLE quarantine DELETE WHERE quarantine_id IN ({listed})")
    return len(ids)


def _source(row: dict[str, Any]) -> parse.Source:
    path = urllib.parse.urlsplit(row["request"]).path
    route = path[path.find("/v2/") :] if "/v2/" in path else path
    return parse.Source(
        route=route, request=row["request"], unit=row["unit"], fetched_at=int(time.time())
    )
