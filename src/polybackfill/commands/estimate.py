"""`polybackfill plan estimate`, and what `run` prints before its first request."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from polybackfill import errors, formats, settings, terminal
from polybackfill.commands import context, disk_space, scopes, words
from polybackfill.polymarket import endpoints
from polybackfill.store import client as stores
from polybackfill.store import outlook
from polybackfill.views import estimate as estimates
from polybackfill.views import tables
from polybackfill.work import units, window

NIGHT_S = 8 * 3_600.0


def estimate(arguments: argparse.Namespace) -> int:
    """The command: what a run of these parts would cost. Nothing is fetched."""
    chosen = context.settings_of(arguments)
    stop_at = window.stop_time(arguments.until, time.time())
    asked = words.Asked(
        parts=words.parts_of(arguments.parts),
        window=window.parse(arguments.since, None if stop_at else arguments.until),
        stop_at=stop_at,
        plan_decides=not (arguments.parts or arguments.everything),
    )
    document, found = context.run(_read(chosen, asked))
    if arguments.json:
        context.print_json(document)
    else:
        if document["scope"]:
            print(document["scope"])
        show(found, document, sys.stdout)
        if told := disk_space.warning(chosen, document["bytes"]):
            print(f"warning: {told}")
    return errors.EXIT_OK


async def of(
    store: stores.Store,
    asked: words.Asked,
    budgets: Mapping[str, endpoints.Budget],
    backfill: settings.Backfill,
) -> tuple[dict[str, Any], list[estimates.Line]]:
    """The estimate as a document and as lines. What nobody knows is None, and named."""
    bounds = outlook.Bounds(
        limit=backfill.limit,
        skip=backfill.skip,
        listed_only=asked.listed_only,
        windowed=asked.window != units.FULL_HISTORY,
        official=backfill.official_wallets,
    )
    ahead = await outlook.of(store, everything=asked.everything, bounds=bounds)
    found = estimates.lines(asked.kinds, ahead, budgets, backfill.share)
    last = estimates.last(found)
    requests = sum(line.requests for line in found)
    unknown = [line.kind for line in found if line.rows is None]
    document: dict[str, Any] = {
        "parts": [dataclasses.asdict(line) for line in found],
        "hours": round(estimates.hours(found, budgets, backfill.share), 4),
        "requests": requests,
        "bytes": sum(line.bytes or 0 for line in found),
        "ends_last": None if last is None else last.route,
        "published_sizes": list(ahead.published),
        "unknown_rows": unknown,
        "one_night": _within(found, NIGHT_S, requests),
        "until": None,
    }
    if asked.stop_at is not None:
        left_s = max(0.0, asked.stop_at - time.time())
        document["until"] = {"at": asked.stop_at, **_within(found, left_s, requests)}
    return document, found


def _within(found: Sequence[estimates.Line], seconds: float, requests: int) -> dict[str, Any]:
    done, rows = estimates.within(found, seconds)
    return {
        "seconds": round(seconds),
        "requests": done,
        "rows": rows,
        "share": done / requests if requests else None,
    }


def show(found: Sequence[estimates.Line], document: Mapping[str, Any], out: TextIO) -> None:
    """The estimate as a table; the limits of each part are in the document alone."""
    rows = [
        {
            "part": line.kind,
            "units": line.units,
            "requests": line.requests,
            "rows": "unknown" if line.rows is None else line.rows,
            "disk": "unknown" if line.bytes is None else formats.size(line.bytes),
            "at its limit": formats.duration(line.hours * 3600),
        }
        for line in found
    ]
    for text in [*tables.lines(rows, terminal.width(out)), *_told(document)]:
        print(text, file=out)


def _told(document: Mapping[str, Any]) -> Iterator[str]:
    least = "at least " if document["unknown_rows"] else ""
    duration = formats.duration(document["hours"] * 3600)
    is_known = document["bytes"] or not least
    size = f"{least}{formats.size(document['bytes'])}" if is_known else "unknown"
    yield (
        f"{least}{formats.counted(document['requests'], 'request')}, {least}{duration} on "
        "one address, "
        f"{size} on disk; {document['ends_last']} ends last"
    )
    if until := document["until"]:
        yield f"until {window.local_text(until['at'])}: {_done(until, least)}"
    elif document["hours"] * 3600 > NIGHT_S:
        yield f"one night of {formats.duration(NIGHT_S)}: {_done(document['one_night'], least)}"
    if document["unknown_rows"]:
        parts = ", ".join(document["unknown_rows"])
        yield f"unknown: the rows of {parts}; nobody has counted them, or a window is asked for"
    if document["published_sizes"]:
        names = ", ".join(name.replace("_", " ") for name in document["published_sizes"])
        yield f"sizes as published in mid-2026, until the lists are read: {names}"


def _done(period: Mapping[str, Any], least: str) -> str:
    """Of requests whose number is not known the share is the most it can be."""
    most = "at most " if least else ""
    rows = "" if least else f", about {formats.counted(period['rows'], 'row')}"
    done = (
        f"{formats.counted(period['requests'], 'request')}, "
        f"{most}{formats.percent(period['share'])} of them{rows}"
    )
    if period["share"] == 1:
        return done
    return f"{done}; the largest first, and the next night goes on there"


async def _read(
    chosen: settings.Settings, asked: words.Asked, *, migrate: bool = True
) -> tuple[dict[str, Any], list[estimates.Line]]:
    budgets = context.budgets(chosen)
    async with context.open_store(chosen, migrate=migrate) as store:
        asked, scope = await scopes.of(store, asked)
        document, found = await of(store, asked, budgets, chosen.backfill)
        return {"scope": scope, **document}, found


async def bytes_ahead(chosen: settings.Settings) -> tuple[int, bool]:
    """What `run` without further words would bring at least, on disk, and whether that is all;
    raises what the store raises.
    """
    document, _ = await _read(chosen, words.Asked(plan_decides=True), migrate=False)
    return int(document["bytes"]), not document["unknown_rows"]
