"""Profit and loss of every wallet by market and by category, in SQL.

`wallet_market_pnl` says what a wallet did in a market; `wallet_category_pnl` adds it up, and the
view `wallet_pnl` that. docs/analytics.md has the contract in full. Sums are of decimals: categories
add up to the whole exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill import errors, records
from polybackfill.store import client, inflation, market_pnl, query_files, rebuild

_CHAIN = "blockchain"  # the source of chain trades in vw_trades_unified
EARLY, LATE = 0.25, 0.75  # of a market's life, from its start to its resolution or planned end

_BY_CATEGORY = query_files.read("wallet_category_pnl")


async def compute(store: client.Store, *, inflated: Sequence[str] = ()) -> None:
    """Make `wallet_market_pnl` and `wallet_category_pnl` anew from what is stored now.

    `inflated`: the sources to be divided, for all views (`store.inflation`). Raises errors.Stop
    when that is said of a source of external trades or of the chain, whose figures are right.
    """
    external = await store.rows(
        "SELECT DISTINCT toString(source) AS source FROM external_trades_raw"
    )
    right = {records.SOURCE, _CHAIN, *(row["source"] for row in external)}
    if wrong := sorted(right & set(inflated)):
        raise errors.Stop(
            f"BACKFILL_INFLATED_SOURCES names {', '.join(wrong)}: the shares of external trades "
            "and of the chain are right as they are; take it off the list"
        )
    await inflation.declare(store, inflated)
    by_category = _BY_CATEGORY.format(
        early=EARLY, late=LATE, markets=rebuild.fresh("wallet_market_pnl")
    )
    await rebuild.rebuild(
        store,
        {"wallet_market_pnl": market_pnl.select(), "wallet_category_pnl": by_category},
    )
