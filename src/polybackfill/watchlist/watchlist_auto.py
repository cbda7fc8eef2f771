"""Markets that are added to the watchlist by themselves, where that is switched on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from polybackfill import clocks, errors, formats, settings
from polybackfill.inputs import key_input, time_arguments
from polybackfill.polymarket import names
from polybackfill.store import client
from polybackfill.watchlist import watchlist_candidates, watchlist_file

_DAY_S = 86_400
ON = "true"
_STRATEGY = "default"


def is_enabled(chosen: settings.Settings) -> bool:
    """The kill switch is on: markets may be added by themselves."""
    return chosen.watchlist.autonomous_trading_enabled == ON


async def make_report(store: client.Store, chosen: settings.Settings) -> dict[str, Any]:
    """As `watchlist auto` with its defaults, at the end of a run."""
    strategy = watchlist_candidates.Strategy(_STRATEGY, _STRATEGY)
    return await add_candidates(store, chosen, strategy, window(None))


def window(since: str | None) -> tuple[int, int]:
    """First and last second of the trades that count, epoch seconds: a day where none is given."""
    now = int(time.time())
    first, last = time_arguments.parse(since, None)
    return first or now - _DAY_S, last or now


async def add_candidates(
    store: client.Store,
    chosen: settings.Settings,
    strategy: watchlist_candidates.Strategy,
    seconds: tuple[int, int],
) -> dict[str, Any]:
    """Add the markets that `strategy` wants by trades within `seconds`; the counts, and `added`.

    Warns on standard error where the wallets' figures are based on little. Raises errors.Stop.
    """
    counts, matches = (
        await watchlist_candidates.counts(store),
        await watchlist_candidates.triggers(store, *seconds),
    )
    dimensions = watchlist_candidates.Dimensions(chosen.backfill.data_dir)
    at = clocks.utc_text(time.time())
    if counts["signal_wallets"]:
        wanted = watchlist_candidates.from_triggers(matches, strategy, dimensions, at=at)
    else:
        wanted = _fallback(chosen, strategy, dimensions, at)
    if counts["resolved_markets"] < watchlist_candidates.FEW_RESOLVED:
        print(
            "warning: only "
            f"{formats.counted(counts['resolved_markets'], 'market has', 'markets have')} "
            "a resolution, fewer than "
            f"{watchlist_candidates.FEW_RESOLVED:,}: wallet figures are based on few resolved "
            "markets",
            file=sys.stderr,
        )
    added = watchlist_file.Watchlist(chosen.backfill.data_dir).add(wanted)
    return {
        **counts,
        "triggers": len(matches),
        "added": [msgspec.to_builtins(entry) for entry in added],
    }


def _fallback(
    chosen: settings.Settings,
    strategy: watchlist_candidates.Strategy,
    dimensions: watchlist_candidates.Dimensions,
    at: str,
) -> list[watchlist_file.Entry]:
    """No wallet has a figure: the markets of the settings, if any."""
    given = chosen.watchlist
    ids = [one for one in given.default_condition_ids.split(",") if one.strip()]
    ids += [given.default_market_id] if given.default_market_id else []
    print(
        "warning: no wallet has 2 % coverage yet (polybackfill report categories): "
        + ("the default markets are watched instead" if ids else "no market is added"),
        file=sys.stderr,
    )
    ids_kept = _ids(ids)[: given.fallback_watchlist_size]
    known = dimensions.markets(ids_kept) if ids_kept else {}
    return [
        watchlist_candidates.entry(
            known[one],
            strategy,
            side=None,
            reason="default market, because no wallet has a known profit yet",
            at=at,
            computed={"auto_added": True, "triggered_by_wallet": None},
        )
        for one in ids_kept
    ]


def _ids(given: Sequence[str]) -> list[str]:
    """Market ids as they are, condition ids lower case with 0x; errors.Stop for anything else."""
    entries = key_input.conditions(given)
    for entry in entries:
        if entry.key is None and entry.name.kind is not names.Kind.NUMBER:
            raise errors.Stop(f"{entry.name.text}: give a market's number or a condition id here")
    return market_keys(entries, {})


def market_keys(entries: Sequence[key_input.Entry], known: key_input.KeysByName) -> list[str]:
    """Market ids as they are, conditions with 0x. `known`: the keys of names that are neither."""
    numbers = {
        entry.name: [entry.name.text] for entry in entries if entry.name.kind is names.Kind.NUMBER
    }
    keys = key_input.resolve_keys(entries, {**known, **numbers})
    texts = {text for texts in numbers.values() for text in texts}
    return [key if key in texts else f"0x{key}" for key in keys]
