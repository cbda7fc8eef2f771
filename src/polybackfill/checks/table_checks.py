"""Checks that need nothing but the store."""

from __future__ import annotations

import collections

from polybackfill.checks import check_result, sql_partitions, union_counts
from polybackfill.kinds import registry
from polybackfill.store import query_files

HOLDINGS = "holdings"
_BROUGHT_BY = " ".join(registry.storing("api_position_rows"))
# Positions and activity of a real wallet disagree for 0.7 to 6 % of its markets, because transfers
# and the automated market maker of 2020 to 2022 are in no feed (third party, autumn 2026).
UNRECONCILED_SHARE = 0.06

_OVERLAP = """
SELECT countIf(is_suspect) AS suspects,
    sumIf(internal_fills - matched_fills, is_suspect) AS internal_unmatched,
    sumIf(external_fills - matched_fills, is_suspect) AS external_unmatched,
    sum(matched_fills) AS fills_of_both_sources,
    uniqExactIf(condition_key, matched_fills > 0) AS conditions_of_both_sources
FROM trade_overlap
"""
_MATCHED = query_files.read("overlap_without_views")
_WRONG_IDS = query_files.read("contradicting_market_ids")
_WRONG_IN_DIMENSIONS = query_files.read("contradicting_ids_in_dimensions")
_CROWDED = """
SELECT market_id, uniqExact(condition_id) AS conditions, count() AS trades
FROM external_trades_raw WHERE market_id != ''
GROUP BY market_id HAVING conditions > 1
"""
_RECONCILED = """
FROM vw_positions_reconciled
WHERE wallet_address IN (SELECT wallet_address FROM wallet_backfill_plan WHERE status = 'done')
    AND wallet_address IN (SELECT wallet_address FROM api_position_rows)
"""


async def overlap(context: check_result.CheckContext) -> check_result.CheckResult:
    """No fill is counted from two sources because they write it differently."""
    (counts,) = await context.store.rows(_OVERLAP)
    examples = []
    if counts["suspects"]:
        examples = await context.store.rows(
            "SELECT concat('0x', wallet_address) AS wallet, concat('0x', condition_id) AS "
            "condition, concat('0x', tx_hash) AS transaction, toString(side) AS side, "
            "internal_shares, external_shares FROM trade_overlap_suspects "
            f"LIMIT {check_result.EXAMPLES}"
        )
    return check_result.pass_or_fail(
        "overlap",
        "no fill of pm_trades is also counted as an external fill of another size",
        holds=counts["suspects"] == 0,
        evidence=counts,
        examples=examples,
        advice="compare these transactions; SELECT * FROM trade_overlap_suspects lists them all",
    )


async def view_arithmetic(context: check_result.CheckContext) -> check_result.CheckResult:
    """The union holds every fill once: internal + external - overlap."""
    fills = await union_counts.count_fills(context.store)
    (matched,) = await context.store.rows(_MATCHED)
    counts = {**fills, **matched}
    expected = counts["internal"] + counts["external"] - counts["overlap"]
    return check_result.pass_or_fail(
        "view-arithmetic",
        "rows of pm_trades_with_external = internal + external - overlap",
        holds=counts["view"] == expected,
        evidence={**counts, "expected": expected},
        advice="the view belongs to another version: polybackfill init",
    )


async def market_ids(context: check_result.CheckContext) -> check_result.CheckResult:
    """The market id of a trade is the one of its condition, and of no other."""
    wrong = await context.store.rows(
        f"{_WRONG_IDS} ORDER BY trades DESC LIMIT {check_result.EXAMPLES}"
    )
    (counts,) = await context.store.rows(
        f"SELECT count() AS wrong_pairs, sum(trades) AS wrong_trades FROM ({_WRONG_IDS})"
    )
    crowded = await context.store.rows(
        f"{_CROWDED} ORDER BY conditions DESC LIMIT {check_result.EXAMPLES}"
    )
    (mapped,) = await context.store.rows(
        f"SELECT count() AS wrong_in_dimensions FROM ({_WRONG_IN_DIMENSIONS})"
    )
    astray = []
    if mapped["wrong_in_dimensions"]:
        astray = await context.store.rows(
            f"{_WRONG_IN_DIMENSIONS} ORDER BY condition, dimension LIMIT {check_result.EXAMPLES}"
        )
    (filled,) = await context.store.rows(
        "SELECT countIf(market_id != '') AS trades_with_market_id, count() AS trades "
        "FROM external_trades_raw"
    )
    return check_result.pass_or_fail(
        "market-ids",
        "each trade has the market id of its condition, and each market id belongs to one "
        "condition only",
        holds=not wrong and not crowded and not astray,
        evidence={**filled, **counts, "ids_of_several_conditions": len(crowded), **mapped},
        examples=[*wrong, *crowded, *astray],
        advice="of trades: polybackfill market-ids lookup, finalize, then apply --write; of "
        "dimensions: polybackfill dims build",
    )


async def compare_holdings(context: check_result.CheckContext) -> check_result.CheckResult:
    """What wallets did adds up to what the API says they hold."""
    (stored,) = await context.store.rows("SELECT count() AS n FROM external_trades_raw")
    counts: dict[str, int] = collections.Counter()
    most, where = 0, ""  # the part with most that differ shows examples: to ask all takes as long
    for part in sql_partitions.list_conditions(stored["n"]):
        by_status = await context.store.rows(
            f"SELECT status, count() AS pairs {_RECONCILED} AND {part} "
            "GROUP BY status ORDER BY status"
        )
        pairs_by_status = {row["status"]: row["pairs"] for row in by_status}
        counts.update(pairs_by_status)
        if pairs_by_status.get("differs", 0) > most:
            most, where = pairs_by_status["differs"], part
    pairs = sum(counts.values())
    name, claim = HOLDINGS, "trades, splits, merges, conversions and redemptions add up to the "
    claim += f"API's positions, but for {UNRECONCILED_SHARE:.0%} of wallet and token pairs"
    if not pairs:
        return check_result.CheckResult(
            name, claim, "skipped", advice="no wallet has both its history and its positions yet"
        )
    differing = counts.get("differs", 0)
    examples = []
    if differing:
        examples = await context.store.rows(
            "SELECT concat('0x', wallet_address) AS wallet, concat('0x', condition_id) AS "
            f"condition, token_id, net_shares, api_shares, difference {_RECONCILED} AND {where} "
            "AND status = 'differs' ORDER BY abs(difference) DESC, token_id "
            f"LIMIT {check_result.EXAMPLES}"
        )
    return check_result.pass_or_fail(
        name,
        claim,
        holds=differing <= UNRECONCILED_SHARE * pairs,
        evidence={"pairs": pairs, **dict(sorted(counts.items()))},
        examples=examples,
        advice="a wallet's activity is missing, or its positions are older than its trades: "
        f"polybackfill run wallets {_BROUGHT_BY}",
    )
