"""`polybackfill quarantine list` and `replay`."""

from __future__ import annotations

import argparse
import itertools
import time
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from polybackfill import errors, formats, records, settings
from polybackfill.kinds import conditions, wallets
from polybackfill.polymarket import parsing, trade_parser
from polybackfill.reports import console_table, quarantine_list
from polybackfill.run import bootstrap
from polybackfill.store import client

R = TypeVar("R", records.Trade, records.Activity)

_CHUNK = 2_000


def show(arguments: argparse.Namespace) -> int:
    """Rows by reason, then examples with their request."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    report = bootstrap.run(_show(chosen, arguments.limit))
    if arguments.json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    console_table.show("by reason", report["by_reason"], "nothing is set aside")
    console_table.show("newest", report["newest"])
    return errors.EXIT_OK


async def _show(chosen: settings.Settings, limit: int) -> dict[str, Any]:
    if limit < 1:
        raise errors.Stop(f"--limit {limit}: must be at least 1")
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await quarantine_list.read(store, limit)


def replay(arguments: argparse.Namespace) -> int:
    """Parse every row again; exit 3 when some are still not understood."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    counts = bootstrap.run(_replay(chosen))
    if arguments.json:
        bootstrap.print_json(counts)
    else:
        print(
            f"{formats.counted(counts['understood'], 'row')} moved to their tables, "
            f"{counts['left']:,} left"
        )
    return errors.EXIT_UNITS_IN_ERROR if counts["left"] else errors.EXIT_OK


async def _replay(chosen: settings.Settings) -> dict[str, int]:
    async with bootstrap.open_store(chosen, migrated=True) as store:
        understood = left = 0
        after = ("", "")
        while chunk := await _chunk(store, *after):
            after = (chunk[-1]["request"], chunk[-1]["id"])
            replayed = await _move(store, chunk)
            understood += replayed
            left += len(chunk) - replayed
        return {"understood": understood, "left": left}


async def _chunk(store: client.Store, request: str, after: str) -> list[dict[str, Any]]:
    """The next rows, those of one request together: an answer holds fewer than a chunk."""
    rows = await store.rows(
        f"SELECT {quarantine_list.COLUMNS} FROM quarantine "
        "WHERE (request, quarantine_id) > ({request:String}, {after:String}) "
        f"ORDER BY request, quarantine_id LIMIT {_CHUNK}",
        parameters={"request": request, "after": after},
    )
    if len(rows) < _CHUNK:
        return rows
    complete = [row for row in rows if row["request"] != rows[-1]["request"]]
    return complete or rows


async def _move(store: client.Store, chunk: list[dict[str, Any]]) -> int:
    """Insert what is understood, then drop it from quarantine; a crash between repeats nothing."""
    trades: list[records.Trade] = []
    activities: list[records.Activity] = []
    ids: list[str] = []
    for _, answer in itertools.groupby(chunk, key=lambda row: row["request"]):
        usable = {
            row["id"]: understood for row in answer if (understood := _understood(row)) is not None
        }
        ids += usable
        trades += _numbered(usable.values(), records.Trade, records.number_trades)
        activities += _numbered(usable.values(), records.Activity, records.number_activities)
    for table, rows in ((conditions.TRADES, trades), (wallets.ACTIVITY, activities)):
        if rows:
            await store.insert(table.inserted, records.encode_lines(rows), rows=len(rows))
    if ids:
        id_list = ", ".join(f"'{quarantine_id}'" for quarantine_id in ids)
        await store.command(f"ALTER TABLE quarantine DELETE WHERE quarantine_id IN ({id_list})")
    return len(ids)


def _understood(row: dict[str, Any]) -> records.Trade | records.Activity | None:
    try:
        return trade_parser.one_row(row["raw"], _source(row))
    except errors.Reject:
        return None


def _numbered(
    usable: Iterable[records.Trade | records.Activity],
    kind: type[R],
    number: Callable[[Sequence[R]], None],
) -> list[R]:
    """Those of one kind. Equal rows of one answer are several; in two answers they are the same,
    and the store takes them once.
    """
    rows = [row for row in usable if isinstance(row, kind)]
    number(rows)
    return rows


def _source(row: dict[str, Any]) -> parsing.ResponseSource:
    path = urllib.parse.urlsplit(row["request"]).path
    route = path[path.find("/v2/") :] if "/v2/" in path else path
    return parsing.ResponseSource(
        route=route, request=row["request"], unit=row["unit"], fetched_at=int(time.time())
    )
