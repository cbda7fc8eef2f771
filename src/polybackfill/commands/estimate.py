"""`polybackfill plan estimate`, and what `run` prints before its first request."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from polybackfill import errors, formats, settings, terminal
from polybackfill.commands import context, scopes, words
from polybackfill.polymarket import endpoints
from polybackfill.store import client as stores
from polybackfill.store import outlook
from polybackfill.views import estimate as estimates
from polybackfill.views import tables


def estimate(arguments: argparse.Namespace) -> int:
    """The command: what a run of these parts would cost. Nothing is fetched."""
    chosen = context.settings_of(arguments)
    decides = not (arguments.parts or arguments.everything)
    asked = words.Asked(parts=words.parts_of(arguments.parts), plan_decides=decides)
    document, found, ahead = context.run(_read(chosen, asked))
    if arguments.json:
        context.print_json(document)
    else:
        print(document["scope"])
        show(found, ahead, document, sys.stdout)
    return errors.EXIT_OK


async def of(
    store: stores.Store,
    asked: words.Asked,
    budgets: Mapping[str, endpoints.Budget],
    share: float,
) -> tuple[dict[str, Any], list[estimates.Line], outlook.Outlook]:
    """The estimate as a document, as lines, and what it was made from."""
    ahead = await outlook.of(store, everything=asked.everything, listed_only=asked.listed_only)
    found = estimates.lines(asked.kinds, ahead, budgets, share)
    last = estimates.last(found)
    return (
        {
            "parts": [dataclasses.asdict(line) for line in found],
            "hours": round(estimates.hours(found, budgets, share), 4),
            "requests": sum(line.requests for line in found),
            "bytes": sum(line.bytes for line in found),
            "ends_last": None if last is None else last.route,
            "published_sizes": list(ahead.published),
        },
        found,
        ahead,
    )


def show(
    found: Sequence[estimates.Line],
    ahead: outlook.Outlook,
    document: Mapping[str, Any],
    out: TextIO,
) -> None:
    """The estimate as a table."""
    rows = [
        {
            "part": line.kind,
            "units": line.units,
            "requests": line.requests,
            "rows": line.rows,
            "disk": formats.size(line.bytes),
            "at its limit": formats.duration(line.hours * 3600),
            "limit of": line.route,
        }
        for line in found
    ]
    for text in tables.lines(rows, terminal.width(out)):
        print(text, file=out)
    duration = formats.duration(document["hours"] * 3600)
    print(
        f"{document['requests']:,} requests, about {duration} on this host, "
        f"{formats.size(document['bytes'])} on disk; {document['ends_last']} ends last",
        file=out,
    )
    if ahead.published:
        print(
            "sizes as published in mid-2026, until the lists are read: "
            + ", ".join(name.replace("_", " ") for name in ahead.published),
            file=out,
        )


async def _read(
    chosen: settings.Settings, asked: words.Asked
) -> tuple[dict[str, Any], list[estimates.Line], outlook.Outlook]:
    budgets = context.budgets(chosen)
    async with context.open_store(chosen, migrate=True) as store:
        asked, scope = await scopes.of(store, asked)
        document, found, ahead = await of(store, asked, budgets, chosen.backfill.share)
        return {"scope": scope, **document}, found, ahead
