"""`polybackfill watchlist auto`, `list`, `add` and `remove`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from polybackfill import clocks, errors, formats, settings
from polybackfill.inputs import key_input
from polybackfill.polymarket import names
from polybackfill.reports import console_table
from polybackfill.run import bootstrap, name_resolution
from polybackfill.watchlist import watchlist_auto, watchlist_candidates, watchlist_file


def auto(arguments: argparse.Namespace) -> int:
    """Add the markets that wallets with a figure have bought into; nothing unless switched on."""
    chosen = bootstrap.settings_of(arguments)
    report: dict[str, Any] = {"enabled": watchlist_auto.is_enabled(chosen), "added": []}
    if report["enabled"]:
        bootstrap.require_store(chosen)
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
        report |= bootstrap.run(_auto(chosen, arguments))
    else:
        given = chosen.watchlist.autonomous_trading_enabled
        print(
            f"nothing is added: AUTONOMOUS_TRADING_ENABLED is {given!r}, and only "
            f"{watchlist_auto.ON!r} switches this on",
            file=sys.stderr,
        )
    if arguments.json:
        bootstrap.print_json(report)
    else:
        _show("added", report["added"], "nothing new")
    return errors.EXIT_OK


async def _auto(chosen: settings.Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    strategy = watchlist_candidates.Strategy(
        arguments.strategy, arguments.strategy_name or arguments.strategy
    )
    seconds = watchlist_auto.window(arguments.since)
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await watchlist_auto.add_candidates(store, chosen, strategy, seconds)


def show(arguments: argparse.Namespace) -> int:
    """What is watched, and by whom it was added."""
    chosen = bootstrap.settings_of(arguments)
    entries = watchlist_file.Watchlist(chosen.backfill.data_dir).entries(arguments.strategy)
    counts = watchlist_file.statistics(entries)
    if arguments.json:
        bootstrap.print_json({"entries": _plain(entries), "statistics": counts})
        return errors.EXIT_OK
    _show("watched", _plain(entries), "nothing is watched")
    print(
        f"{counts['total']:,} entries, {counts['autoAdded']:,} added automatically and "
        f"{counts['manualAdded']:,} by hand, "
        f"{formats.counted(len(counts['triggeredByWallets']), 'wallet')}"
    )
    return errors.EXIT_OK


def add(arguments: argparse.Namespace) -> int:
    """Watch markets by hand; what is watched already stays as it is."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    dimensions = watchlist_candidates.Dimensions(chosen.backfill.data_dir)
    known = dimensions.markets(_named(chosen, arguments.market))
    unknown = [] if dimensions.absent else [one for one in known if not known[one].known]
    for one in sorted(unknown):
        print(
            f"warning: the dimensions know no market {one}; it is watched anyway. If its id is "
            "right: polybackfill run markets, then polybackfill dims build",
            file=sys.stderr,
        )
    strategy = watchlist_candidates.Strategy(
        arguments.strategy, arguments.strategy_name or arguments.strategy
    )
    wanted = [
        watchlist_candidates.entry(
            market,
            strategy,
            side=arguments.side.upper() if arguments.side else None,
            reason=arguments.reason,
            at=clocks.utc_text(time.time()),
            computed={"auto_added": False, "triggered_by_wallet": None},
        )
        for market in known.values()
    ]
    added = _plain(watchlist_file.Watchlist(chosen.backfill.data_dir).add(wanted))
    if arguments.json:
        bootstrap.print_json({"added": added})
    else:
        _show("added", added, "watched already")
    return errors.EXIT_OK


def remove(arguments: argparse.Namespace) -> int:
    """Watch markets no longer, for one strategy or for all."""
    chosen = bootstrap.settings_of(arguments)
    ids = set(_named(chosen, arguments.market))
    removed = _plain(
        watchlist_file.Watchlist(chosen.backfill.data_dir).remove(
            lambda entry: (
                arguments.strategy in (None, entry.strategy_id)
                and bool(ids & {entry.condition_id, entry.market_id})
            ),
            at=clocks.utc_text(time.time()),
        )
    )
    if arguments.json:
        bootstrap.print_json({"removed": removed})
    else:
        _show("removed", removed, "not on the list")
    return errors.EXIT_OK


def _named(chosen: settings.Settings, given: Sequence[str]) -> list[str]:
    """As `_ids`, of slugs, pages and events too, whose conditions are looked up."""
    entries = key_input.conditions(given)
    by_name = [entry for entry in entries if entry.name.kind is not names.Kind.NUMBER]
    matches = name_resolution.resolve(chosen, by_name)
    return watchlist_auto.market_keys(entries, matches)


def _plain(entries: Sequence[watchlist_file.Entry]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(entry) for entry in entries]


def _show(title: str, entries: list[dict[str, Any]], empty: str) -> None:
    columns = ("strategy_id", "condition_id", "market_id", "side", "category", "added_at", "reason")
    rows = [{name: entry[name] or "" for name in columns} for entry in entries]
    console_table.show(title, rows, empty)
