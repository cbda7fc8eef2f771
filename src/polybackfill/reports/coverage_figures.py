"""What is stored, from which source, and what of it is proven: the figures of the report."""

from __future__ import annotations

import contextlib
from typing import TypedDict

from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import (
    completeness,
    resolution_checks,
    set_aside_check,
    sql_partitions,
    table_digest,
    temporary_table,
    union_counts,
)
from polybackfill.polymarket import contracts
from polybackfill.store import client, query_files

TOP_WALLETS = 25
TOP_MARKETS = 20

_SOURCES = query_files.read("fills_by_key_and_source")
# The fills of both sources, found once.
_SHARED = "(wallet_address String, condition_id String, cash_value Float64)"
_FILL_SHARED = """
INSERT INTO {shared} SELECT wallet_address, condition_id, cash_value
FROM external_trades_shared WHERE copy <= internal_copies AND {slice}
"""
_BY_KEY = """
AS SELECT key, sum(internal) AS internal, sum(external) AS external,
    sum(internal_micro) / 1e6 AS internal_usd, sum(external_micro) / 1e6 AS external_usd,
    sum(internal_wallets) AS internal_wallets, sum(external_wallets) AS external_wallets,
    max(question) AS question
FROM ({sources}) GROUP BY key
"""
_TOTALS = """
SELECT sum(internal) AS internal_trades, sum(external) AS external_trades,
    round(sum(internal_usd), 2) AS internal_usd, round(sum(external_usd), 2) AS external_usd,
    count() AS wallets, countIf(external > 0) AS wallets_with_external,
    countIf(internal = 0) AS wallets_external_only
FROM {by_key}
"""
_MARKETS = """
SELECT count() AS markets, countIf(external_wallets = 0) AS internal_only,
    countIf(internal_wallets = 0) AS external_only,
    countIf(internal_wallets > 0 AND external_wallets > 0) AS both
FROM {by_key}
"""
_WALLETS = query_files.read("traded_wallets")
_SAMPLE = """
SELECT concat('0x', key) AS condition, question, internal, external, internal_wallets,
    external_wallets
FROM {by_key} WHERE external_wallets > 0
ORDER BY internal_wallets = 0 DESC, external DESC, key LIMIT {limit}
"""
_MONTHS = """
SELECT toString(toStartOfMonth(trade_timestamp)) AS month, count() AS trades,
    sum(cash_value) AS usd
FROM external_trades_raw GROUP BY month ORDER BY month
"""
_BACKFILLED = """
SELECT concat('0x', wallet_address) AS wallet, trade_count, round(notional, 2) AS notional,
    toString(last_run_at) AS last_run_at
FROM wallet_backfill_plan WHERE status = 'done'
ORDER BY priority_rank, wallet_address LIMIT 20
"""
_STATUSES = """
SELECT toString(status) AS status, count() AS wallets FROM wallet_backfill_plan
GROUP BY status ORDER BY status
"""


class SourceTotals(TypedDict):
    """Fills of both sources, what both hold counted as internal; USD in whole cents."""

    internal_trades: int
    external_trades: int
    internal_usd: float
    external_usd: float
    wallets: int
    wallets_with_external: int
    wallets_external_only: int


class Totals(SourceTotals):
    """`external_share`: of the USD, from 0 to 1, None of nothing."""

    external_share: float | None


class TradedWallet(TypedDict):
    """Its fills and USD by source, and what the plan says of it."""

    wallet: str
    internal: int
    external: int
    internal_usd: float
    external_usd: float
    status: str


class MarketCounts(TypedDict):
    """Markets by the sources that show them."""

    markets: int
    internal_only: int
    external_only: int
    both: int


class TradedMarket(TypedDict):
    """Fills and wallets of a market, by source."""

    condition: str
    question: str
    internal: int
    external: int
    internal_wallets: int
    external_wallets: int


class Union(TypedDict):
    """Rows of both sources and of the view over them; `holds`: the view has those `expected`."""

    internal: int
    external: int
    view: int
    overlap: int
    expected: int
    holds: bool


class Repeated(TypedDict):
    """Trade ids that are stored more than once, and the rows that are too many."""

    ids: int
    rows: int


class MonthOfTrades(TypedDict):
    """External trades of a month, by its first day."""

    month: str
    trades: int
    usd: float | None


class FetchedWallet(TypedDict):
    """A wallet of the plan that was fetched whole; count and USD as planned."""

    wallet: str
    trade_count: int
    notional: float | None
    last_run_at: str | None


class PartFigures(completeness.PartCompleteness):
    """`set_aside`: rows of the part in quarantine."""

    set_aside: int


class CoverageFigures(TypedDict):
    """Everything the report shows; `plan`: wallets by their status."""

    parts: list[PartFigures]
    disagreements: resolution_checks.Disagreements
    totals: Totals
    wallets: list[TradedWallet]
    markets: MarketCounts
    sample: list[TradedMarket]
    union: Union
    duplicates: Repeated
    months: list[MonthOfTrades]
    plan: dict[str, int]
    backfilled: list[FetchedWallet]


async def read(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint | None
) -> CoverageFigures:
    """All figures of the report. Amounts are in USD, shares between 0 and 1, None for 0 of 0."""
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(
            temporary_table.create(store, _SHARED, order="condition_id")
        )
        fills = await union_counts.count_fills(store)
        for part in sql_partitions.list_conditions(fills["internal"]):
            await store.command(_FILL_SHARED.format(shared=shared, slice=part))
        by_wallet, by_market = [
            await stack.enter_async_context(
                temporary_table.create(
                    store,
                    _BY_KEY.format(
                        sources=_SOURCES.format(key=key, wallets=wallets, shared=shared)
                    ),
                )
            )
            for key, wallets in (
                ("wallet_address", "toUInt64(1)"),
                ("condition_id", "uniqExact(wallet_address)"),
            )
        ]
        return await _figures(store, checkpoint, by_wallet, by_market, fills)


def _named(row: TradedWallet) -> TradedWallet:
    """What trades like a wallet, and is left out of the plan since it is a contract, says so."""
    contract = row["wallet"].removeprefix("0x") in contracts.CONTRACTS
    return {**row, "status": "contract"} if contract and row["status"] == "not planned" else row


async def _figures(
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint | None,
    by_wallet: str,
    by_market: str,
    fills: union_counts.FillCounts,
) -> CoverageFigures:
    (totals,) = await store.records(_TOTALS.format(by_key=by_wallet), SourceTotals)
    (markets,) = await store.records(_MARKETS.format(by_key=by_market), MarketCounts)
    (repeated,) = await store.records(
        f"SELECT count() AS ids, sum(copies - 1) AS rows FROM ({table_digest.DUPLICATES})", Repeated
    )
    aside = await set_aside_check.by_kind(store)
    usd = totals["internal_usd"] + totals["external_usd"]
    # Of the external fills those are in both sources that were not counted as external.
    overlap = fills["external"] - totals["external_trades"]
    expected = fills["internal"] + fills["external"] - overlap
    return {
        "parts": [
            {**part, "set_aside": aside[name].rows if (name := part["name"]) in aside else 0}
            for part in await completeness.measure_parts(store, checkpoint)
        ],
        "disagreements": await resolution_checks.disagreements(store),
        "totals": {**totals, "external_share": totals["external_usd"] / usd if usd else None},
        "wallets": [
            _named(row)
            for row in await store.records(
                _WALLETS.format(by_key=by_wallet, limit=TOP_WALLETS), TradedWallet
            )
        ],
        "markets": markets,
        "sample": await store.records(
            _SAMPLE.format(by_key=by_market, limit=TOP_MARKETS), TradedMarket
        ),
        "union": {
            **fills,
            "overlap": overlap,
            "expected": expected,
            "holds": fills["view"] == expected,
        },
        "duplicates": repeated,
        "months": await store.records(_MONTHS, MonthOfTrades),
        "plan": {row["status"]: row["wallets"] for row in await store.rows(_STATUSES)},
        "backfilled": await store.records(_BACKFILLED, FetchedWallet),
    }
