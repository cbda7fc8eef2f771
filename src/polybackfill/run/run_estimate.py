"""What a run would cost: requests, hours, rows and bytes, as a document and as a table."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from polybackfill import formats, settings, terminal, units
from polybackfill.inputs import time_arguments
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints
from polybackfill.reports import console_table, estimate_lines
from polybackfill.run import bootstrap, run_request, run_scope
from polybackfill.store import backlog_counts, client

NIGHT_S = 8 * 3_600.0


async def make_estimate(
    store: client.Store,
    request: run_request.RunRequest,
    budgets: Mapping[str, endpoints.Budget],
    backfill: settings.BackfillSettings,
    *,
    hosts: int = 1,
) -> tuple[dict[str, Any], list[estimate_lines.Line]]:
    """The estimate as a document and as lines, for a job on so many hosts with an address each.
    What nobody knows is None, and named.
    """
    bounds = backlog_counts.Bounds(
        limit=backfill.limit,
        skip=backfill.skip,
        listed_only=request.listed_only,
        windowed=request.window != units.FULL_HISTORY,
        official=backfill.official_wallets,
    )
    ahead = await backlog_counts.count_backlog(store, everything=request.everything, bounds=bounds)
    # What will be new while a run follows nobody knows.
    kinds = tuple(kind for kind in request.kinds if not registry.KINDS[kind].is_followed)
    lines = await estimate_lines.make_lines(
        store, kinds, ahead, budgets, backfill.share, hosts=hosts
    )
    last = estimate_lines.last(lines)
    requests = sum(line.requests for line in lines)
    unknown = [line.kind for line in lines if line.rows is None]
    document: dict[str, Any] = {
        "parts": [dataclasses.asdict(line) for line in lines],
        "hosts": hosts,
        "hours": round(estimate_lines.hours(lines, budgets, backfill.share), 4),
        "requests": requests,
        "bytes": sum(line.bytes or 0 for line in lines),
        "ends_last": None if last is None else last.route,
        "published_sizes": list(ahead.published),
        "unknown_rows": unknown,
        "one_night": _within(lines, NIGHT_S, requests),
        "until": None,
    }
    if request.stop_at is not None:
        left_s = max(0.0, request.stop_at - time.time())
        document["until"] = {"at": request.stop_at, **_within(lines, left_s, requests)}
    return document, lines


def _within(lines: Sequence[estimate_lines.Line], seconds: float, requests: int) -> dict[str, Any]:
    done, rows = estimate_lines.within(lines, seconds)
    return {
        "seconds": round(seconds),
        "requests": done,
        "rows": rows,
        "share": done / requests if requests else None,
    }


def show(lines: Sequence[estimate_lines.Line], document: Mapping[str, Any], out: TextIO) -> None:
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
        for line in lines
    ]
    for text in [*console_table.lines(rows, terminal.width(out)), *_describe(document)]:
        print(text, file=out)


def _describe(document: Mapping[str, Any]) -> Iterator[str]:
    least = "at least " if document["unknown_rows"] else ""
    duration = formats.duration(document["hours"] * 3600)
    is_known = document["bytes"] or not least
    size = f"{least}{formats.size(document['bytes'])}" if is_known else "unknown"
    yield (
        f"{least}{formats.counted(document['requests'], 'request')}, {least}{duration} on "
        f"{estimate_lines.describe_addresses(document['hosts'])}, "
        f"{size} on disk; {document['ends_last']} ends last"
    )
    if until := document["until"]:
        yield f"until {time_arguments.local_text(until['at'])}: {_done(until, least)}"
    elif document["hours"] * 3600 > NIGHT_S:
        yield f"one night of {formats.duration(NIGHT_S)}: {_done(document['one_night'], least)}"
    if document["unknown_rows"]:
        parts = ", ".join(document["unknown_rows"])
        yield f"unknown: the rows of {parts}; they are not counted yet, or a time window is given"
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


async def read(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    *,
    migrate: bool = True,
    hosts: int = 1,
) -> tuple[dict[str, Any], list[estimate_lines.Line]]:
    budgets = bootstrap.budgets(chosen)
    async with bootstrap.open_store(chosen, migrated=migrate) as store:
        request, scope = await run_scope.choose_scope(store, request)
        document, lines = await make_estimate(store, request, budgets, chosen.backfill, hosts=hosts)
        return {"scope": scope, **document}, lines


async def bytes_ahead(chosen: settings.Settings) -> tuple[int, bool]:
    """What `run` without further words would bring at least, on disk, and whether that is all;
    raises what the store raises.
    """
    document, _ = await read(chosen, run_request.RunRequest(plan_decides=True), migrate=False)
    return int(document["bytes"]), not document["unknown_rows"]
