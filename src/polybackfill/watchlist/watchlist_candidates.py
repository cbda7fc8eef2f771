"""What the watchlist is made of: trades of wallets with a figure, and what is known of markets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polybackfill.inputs import dimension_files
from polybackfill.store import client, query_files, taxonomy
from polybackfill.watchlist import watchlist_file

# Seed 004: below so many resolved markets the figures of wallets say little.
FEW_RESOLVED = 3_000

_TRIGGERS = query_files.read("first_purchases")

_COUNTS = """
SELECT
    (SELECT countIf(band != 'none') FROM wallet_pnl) AS signal_wallets,
    (SELECT count() FROM market_payouts) AS resolved_markets
"""


@dataclass(frozen=True)
class Market:
    """What the dimensions say of a market; nothing where they do not know it."""

    market_id: str | None = None
    condition_id: str | None = None
    title: str | None = None
    category: str | None = None
    tags: list[str] = field(default_factory=list)
    event_id: str | None = None
    event_title: str | None = None
    known: bool = False


class Dimensions:
    """Markets by condition or market id, from the seed files of a data folder.

    The files are read again when they have changed. Without them everything is unknown, which is
    said once on stderr.
    """

    def __init__(self, folder: Path) -> None:
        self._by_condition = dimension_files.Cache(
            folder / dimension_files.MARKETS_FILE, "condition_id"
        )
        self._by_market = dimension_files.Cache(folder / dimension_files.MARKETS_FILE, "market_id")
        self._events = dimension_files.Cache(folder / dimension_files.EVENTS_FILE, "event_id")
        self._warned = False

    def reload(self) -> None:
        """Forget what was read; the next question reads the files."""
        for cache in (self._by_condition, self._by_market, self._events):
            cache.reload()

    def markets(self, ids: Iterable[str]) -> dict[str, Market]:
        """One market for every id, a condition with 0x or a market id. Raises errors.Stop for a
        damaged file.
        """
        wanted = set(ids)
        self._warn()
        rows = {
            **self._by_condition.get(one for one in wanted if one.startswith("0x")),
            **self._by_market.get(one for one in wanted if not one.startswith("0x")),
        }
        named = {str(row["event_id"]) for row in rows.values() if row.get("event_id")}
        events = self._events.get(named)
        return {one: _market(one, rows.get(one, {}), events) for one in wanted}

    @property
    def absent(self) -> bool:
        """Whether the file of markets is not there, which has been said."""
        return self._by_condition.missing

    def _warn(self) -> None:
        missing = [cache.path for cache in (self._by_condition, self._events) if cache.missing]
        if missing and not self._warned:
            self._warned = True
            print(
                f"warning: {' and '.join(path.name for path in missing)} not found under "
                f"{missing[0].parent}: titles, categories, tags and events stay unknown "
                "until you run: polybackfill dims build",
                file=sys.stderr,
            )


def _market(
    wanted: str, row: dimension_files.Row, events: Mapping[str, dimension_files.Row]
) -> Market:
    is_condition = wanted.startswith("0x")
    event_id = str(row["event_id"]) if row.get("event_id") else None
    event = events.get(event_id or "", {})
    tags = list(dict.fromkeys([*_labels(row), *_labels(event)]))
    category = row.get("category")
    if row and category not in taxonomy.NAMES:
        # A file of another maker: its category is one more tag.
        category = taxonomy.category_of([*tags, str(category or event.get("category") or "")])
    return Market(
        market_id=row.get("market_id") if is_condition else wanted,
        condition_id=wanted if is_condition else row.get("condition_id"),
        title=row.get("question"),
        category=category,
        tags=tags,
        event_id=event_id,
        event_title=event.get("title"),
        known=bool(row),
    )


def _labels(row: dimension_files.Row) -> list[str]:
    """Tags as text; some files have objects with a label or a slug."""
    labels = (
        tag.get("label") or tag.get("slug") if isinstance(tag, dict) else tag
        for tag in row.get("tags") or ()
    )
    return [str(label) for label in labels if label]


@dataclass(frozen=True)
class Strategy:
    """For whom markets are watched."""

    id: str
    name: str


async def counts(store: client.Store) -> dict[str, int]:
    """How many wallets have a figure, and how many markets have paid out."""
    (row,) = await store.rows(_COUNTS)
    return {name: int(count) for name, count in row.items()}


async def triggers(store: client.Store, since: int, until: int) -> list[dict[str, Any]]:
    """The purchase that puts each market on the list, in time order; epoch seconds, inclusive."""
    return await store.rows(_TRIGGERS, parameters={"since": since, "until": until})


def from_triggers(
    triggers_found: Sequence[dict[str, Any]], strategy: Strategy, dimensions: Dimensions, *, at: str
) -> list[watchlist_file.Entry]:
    """Entries for these purchases. `at`: UTC text."""
    known = dimensions.markets(f"0x{row['condition_id']}" for row in triggers_found)
    return [
        entry(
            known[f"0x{row['condition_id']}"],
            strategy,
            side=side_of(row["outcome_index"]),
            reason="a wallet of the signal set bought",
            at=at,
            computed={
                "auto_added": True,
                "triggered_by_wallet": f"0x{row['wallet']}",
                "wallet_coverage_pct": round(row["coverage_pct"], 2),
                "wallet_realized_pnl_usd": row["realized_pnl_usd"],
                "wallet_rank": row["rank"],
            },
        )
        for row in triggers_found
    ]


def entry(
    market: Market,
    strategy: Strategy,
    *,
    side: watchlist_file.Side | None,
    reason: str,
    at: str,
    computed: Mapping[str, Any],
) -> watchlist_file.Entry:
    """An entry about a market, with all that is known of it. `at`: UTC text."""
    return watchlist_file.Entry(
        strategy_id=strategy.id,
        market_id=market.market_id,
        condition_id=market.condition_id,
        side=side,
        reason=reason,
        added_at=at,
        category=market.category,
        tags=market.tags,
        event_id=market.event_id,
        metadata={
            **computed,
            "strategy_name": strategy.name,
            "market_title": market.title,
            "category": market.category,
            "tags": market.tags,
            "event_id": market.event_id,
            "event_title": market.event_title,
        },
    )


def side_of(outcome_index: int) -> watchlist_file.Side | None:
    """YES is the first outcome, NO the second; a third one is neither."""
    return {0: "YES", 1: "NO"}.get(outcome_index)  # type: ignore[return-value]
