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
from polybackfill.store import client, inflation, rebuild, statements, taxonomy

_CHAIN = "blockchain"  # the source of chain trades in vw_trades_unified
EARLY, LATE = 0.25, 0.75  # of a market's life, from its start to its resolution or planned end

_USD = "toDecimal128({micro}, 0) * toDecimal128('0.000001', 6)"

_BY_CATEGORY = """
SELECT
    wallet_address, category,
    {pnl} AS realized_pnl_usd,
    sumIf(fills, resolved) AS num_fills,
    sumIf(fills_with_fee, resolved) AS num_fills_with_fee,
    if(num_fills > 0 AND num_fills_with_fee = 0, NULL, {fees}) AS fees_usd,
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
        if(market.category = '', {uncategorized}, market.category) AS category,
        held.first_outcome >= 0 AND held.last_outcome < length(market.rates) AS resolved,
        toInt64(round(toFloat64(
            toInt128(held.cash_nano) * 1000000000
            + toInt128(held.net_yes) * market.rates[1]
            + toInt128(held.net_no) * market.rates[2]
            + arraySum(one -> toInt128(one.2) * market.rates[one.1 + 1], held.others)
        ) / 1e12)) AS pnl_micro,
        toInt64(round(held.spent_nano / 1e3)) AS spent_micro,
        held.fee_micro AS fee_micro, held.fills AS fills, held.fills_with_fee AS fills_with_fee,
        multiIf(
            held.net_yes > held.net_no, 'YES', held.net_yes < held.net_no, 'NO',
            held.bought_lean > 0, 'YES', held.bought_lean < 0, 'NO', '') AS side,
        toInt64(toUnixTimestamp(market.start_date)) AS began,
        ifNull(toInt64(toUnixTimestamp(held.first_at)) - began, 0) AS age,
        ifNull(toInt64(toUnixTimestamp(market.ended)) - began, 0) AS life
    FROM ({held}) AS held
    LEFT JOIN ({markets}) AS market ON market.condition_id = held.condition_id
)
GROUP BY wallet_address, category
SETTINGS join_use_nulls = 0
"""

# A wallet in a market: cash in billionths of a USD, shares in millionths. Only outcomes beyond the
# second, which are rare, keep their trades: (outcome, signed shares) each. What no fill can
# be (see `polymarket.fields`; other hands may have stored it) counts as nothing; 64 bits hold the
# rest.
_HELD = """
WITH ({tokens}) AS token
SELECT
    wallet_address, condition_id,
    -sum(sign * usd_nano) AS cash_nano,
    sumIf(usd_nano, sign > 0) AS spent_nano,
    sum(fee) AS fee_micro, count() AS fills, count(fee) AS fills_with_fee,
    sumIf(sign * share_micro, outcome = 0) AS net_yes,
    sumIf(sign * share_micro, outcome = 1) AS net_no,
    sumIf(if(outcome = 0, share_micro, -share_micro), sign > 0 AND outcome < 2) AS bought_lean,
    groupArrayIf((outcome, sign * share_micro), outcome > 1) AS others,
    min(outcome) AS first_outcome, max(outcome) AS last_outcome,
    min(trade_timestamp) AS first_at
FROM
(
    SELECT
        wallet_address, condition_id, trade_timestamp,
        if(outcome_index >= 0, toInt32(outcome_index), transform(token_id, token.1, token.2, -1))
            AS outcome,
        if(side = 'BUY', 1, -1) AS sign,
        toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6)) AS share_micro,
        toInt64(round(if(abs(usd) < 9e9, usd, 0) * 1e9)) AS usd_nano,
        toInt64(round(if(abs(fees) < 9e9, fees, NULL) * 1e6)) AS fee
    FROM trades_for_pnl
    WHERE wallet_address NOT IN ({contracts}) AND condition_id != ''
)
GROUP BY wallet_address, condition_id
"""

# Tokens of markets some of whose trades came before the API knew their outcome, with the outcome
# each stands for. There are few.
_TOKENS = """
SELECT (arrayConcat([''], groupArray(token)), arrayConcat([toInt32(-1)], groupArray(place)))
FROM
(
    SELECT token, toInt32(number - 1) AS place
    FROM market_tokens ARRAY JOIN token_ids AS token, arrayEnumerate(token_ids) AS number
    WHERE condition_id IN (SELECT condition_id FROM external_trades_raw WHERE outcome_index < 0)
)
"""

# What a share of each outcome paid, in 10^-12 USD; empty while a market is unresolved.
_MARKETS = """
SELECT
    condition_id, toString(d.category) AS category, d.start_date AS start_date,
    coalesce(p.resolved_at, d.end_date) AS ended,
    arrayMap(p -> toInt128(round(if(abs(p) < 1e3, p, 0) * 1e12)), p.payouts) AS rates
FROM (SELECT condition_id, category, start_date, end_date FROM markets_dim) AS d
FULL OUTER JOIN
(
    SELECT condition_id, payouts, resolved_at FROM market_payouts
) AS p USING (condition_id)
"""


async def compute(
    store: client.Store, *, inflated: Sequence[str] = (), cluster: str | None = None
) -> None:
    """Make `wallet_category_pnl` anew from the trades as they are stored now.

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
    await inflation.declare(store, inflated, cluster=cluster)
    select = _BY_CATEGORY.format(
        pnl=_USD.format(micro="sumIf(pnl_micro, resolved)"),
        fees=_USD.format(micro="sumIf(ifNull(fee_micro, 0), resolved)"),
        spent=_USD.format(micro="sumIf(spent_micro, resolved)"),
        early=EARLY,
        late=LATE,
        uncategorized=statements.quoted(taxonomy.UNCATEGORIZED),
        held=_HELD.format(
            tokens=_TOKENS,
            contracts=", ".join(statements.quoted(wallet) for wallet in contracts.CONTRACTS),
        ),
        markets=_MARKETS,
    )
    await rebuild.rebuild(
        store,
        {"wallet_category_pnl": select},
        cluster=cluster,
    )
