"""Profit and loss of every wallet by category, in SQL: `wallet_category_pnl` and `wallet_pnl`.

The contract (docs/analytics.md has it in full): hold to resolution over resolved markets only, from
trades alone. A wallet's P&L in a market is the sum over its outcomes of net shares times payout,
minus what it paid net. Net shares below zero count as they are: they were made by a split, whose
pair costs 1 USD and pays 1 USD, so that leaving splits, merges and redemptions out changes nothing.

Cash is added up in billionths of a USD and a market's P&L rounded once, to millionths, as integers:
the result does not depend on the order of rows, and categories add up to the whole exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill import errors, records
from polybackfill.polymarket import contracts
from polybackfill.store import client, rebuild, statements, taxonomy

# Shares of tables derived from Goldsky's subgraph are 128 times too large (seed 004, contract 1).
INFLATION = 128
EARLY, LATE = 0.25, 0.75  # of a market's life, from its start to its resolution or planned end

_USD = "toDecimal128({micro}, 0) * toDecimal128('0.000001', 6)"

_BY_CATEGORY = """
SELECT
    wallet_address, category,
    {pnl} AS realized_pnl_usd,
    {fees} AS fees_usd,
    {spent} AS total_position_size_usd,
    count() AS num_markets,
    countIf(resolved) AS num_resolved_markets,
    countIf(resolved AND pnl_micro > 0) AS num_winning_markets,
    countIf(resolved AND pnl_micro < 0) AS num_losing_markets,
    countIf(resolved AND side = 'YES') AS yes_count,
    countIf(resolved AND side = 'NO') AS no_count,
    countIf(resolved AND life > 0) AS dated_markets,
    countIf(resolved AND life > 0 AND age <= {early} * life) AS early_entries,
    countIf(resolved AND life > 0 AND age >= {late} * life) AS late_entries
FROM
(
    SELECT
        held.wallet_address AS wallet_address,
        if(d.category = '', {uncategorized}, toString(d.category)) AS category,
        notEmpty(p.payouts) AND held.first_outcome >= 0
            AND held.last_outcome < length(p.payouts) AS resolved,
        toInt64(round(toFloat64(held.cash_nano * toInt128(1000000000) + arraySum(
            (outcome, net) -> net * toInt128(round(p.payouts[outcome + 1] * 1e12)),
            held.outcomes, held.nets)) / 1e12)) AS pnl_micro,
        toInt64(round(toFloat64(held.spent_nano) / 1e3)) AS spent_micro,
        held.fee_micro AS fee_micro,
        held.side AS side,
        toInt64(toUnixTimestamp(d.start_date)) AS began,
        ifNull(toInt64(toUnixTimestamp(held.first_at)) - began, 0) AS age,
        ifNull(toInt64(toUnixTimestamp(coalesce(p.resolved_at, d.end_date))) - began, 0) AS life
    FROM
    (
        SELECT
            wallet_address, condition_id,
            sum(cash_nano) AS cash_nano, sum(spent_nano) AS spent_nano, sum(fee_micro) AS fee_micro,
            min(first_at) AS first_at,
            groupArray(outcome_index) AS outcomes, groupArray(net_micro) AS nets,
            min(outcome_index) AS first_outcome, max(outcome_index) AS last_outcome,
            sumIf(net_micro, outcome_index = 0) - sumIf(net_micro, outcome_index = 1) AS lean,
            sumIf(bought_micro, outcome_index = 0) - sumIf(bought_micro, outcome_index = 1)
                AS bought_lean,
            multiIf(lean > 0, 'YES', lean < 0, 'NO', bought_lean > 0, 'YES', bought_lean < 0, 'NO',
                '') AS side
        FROM ({by_outcome})
        GROUP BY wallet_address, condition_id
    ) AS held
    LEFT JOIN market_payouts AS p ON p.condition_id = held.condition_id
    LEFT JOIN markets_dim AS d ON d.condition_id = held.condition_id
)
GROUP BY wallet_address, category
SETTINGS join_use_nulls = 0
"""

_BY_OUTCOME = """
SELECT
    wallet_address, condition_id, outcome_index,
    sum(if(side = 'BUY', 1, -1) * share_micro) AS net_micro,
    sumIf(share_micro, side = 'BUY') AS bought_micro,
    sum(if(side = 'BUY', -1, 1) * usd_nano) AS cash_nano,
    sumIf(usd_nano, side = 'BUY') AS spent_nano,
    sum(fee_micro) AS fee_micro,
    min(trade_timestamp) AS first_at
FROM
(
    SELECT
        wallet_address, condition_id, toInt32(outcome_index) AS outcome_index, side,
        trade_timestamp,
        if(NOT is_external AND source IN {{inflated:Array(String)}}, {inflation}, 1) AS divisor,
        toInt128(round(shares / divisor * 1e6)) AS share_micro,
        toInt128(round(usd / divisor * 1e9)) AS usd_nano,
        toInt64(round(fees / divisor * 1e6)) AS fee_micro
    FROM trades_for_pnl
    WHERE wallet_address NOT IN ({contracts}) AND condition_id != ''
)
GROUP BY wallet_address, condition_id, outcome_index
"""


async def compute(
    store: client.Store, *, inflated: Sequence[str] = (), cluster: str | None = None
) -> None:
    """Make `wallet_category_pnl` anew from the trades as they are stored now.

    `inflated`: values of `source` whose shares, and the USD made of them, are 128 times too large.
    Raises errors.Stop when that is said of the public API, whose figures are right.
    """
    if records.SOURCE in inflated:
        raise errors.Stop(
            f"BACKFILL_INFLATED_SOURCES names {records.SOURCE}: its shares are right as they are; "
            "take it off the list"
        )
    select = _BY_CATEGORY.format(
        pnl=_USD.format(micro="sumIf(pnl_micro, resolved)"),
        fees=_USD.format(micro="sumIf(fee_micro, resolved)"),
        spent=_USD.format(micro="sumIf(spent_micro, resolved)"),
        early=EARLY,
        late=LATE,
        uncategorized=statements.quoted(taxonomy.UNCATEGORIZED),
        by_outcome=_BY_OUTCOME.format(
            inflation=INFLATION,
            contracts=", ".join(statements.quoted(wallet) for wallet in contracts.CONTRACTS),
        ),
    )
    await rebuild.rebuild(
        store,
        {"wallet_category_pnl": select},
        cluster=cluster,
        parameters={"inflated": list(inflated)},
    )
