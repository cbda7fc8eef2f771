"""What every wallet did in every market, in SQL: `wallet_market_pnl`, whose sums all profits are.

One stream of changes (fills, every other activity, positions as the API lists them) is grouped by
wallet and market once. Cash is added up in billionths of a USD and shares in millionths, as
integers; a profit is rounded once, to millionths: no order of rows changes a figure.

Held to resolution counts fills of resolved markets alone: net shares times payout, minus what was
paid net. Net shares below zero count as they are: a split made them, whose pair costs 1 USD and
pays 1 USD. The economic profit is all cash in and out, and what is held; see docs/analytics.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from chdb_http import statements
from polybackfill.polymarket import contracts
from polybackfill.store import taxonomy

_USD = "toDecimal128({micro}, 0) * toDecimal128('0.000001', 6)"
_KINDS = (
    "buy", "sell", "split", "merge", "redemption", "conversion", "unmatched conversion", "reward",
    "rebate", "yield", "position", "migration", "combos", "unknown activity",
)  # fmt: skip
_CASH = ("split", "merge", "redemption", "conversion", "reward", "rebate", "yield")
# Kinds that a figure leaves out: each is a reason of its own.
_LEFT_OUT = ("unmatched conversion", "migration", "combos", "unknown activity")
# The types of /v2/activity that are counted, or move nothing but the wallet's own money.
_KNOWN_TYPES = (
    "TRADE", "SPLIT", "MERGE", "REDEEM", "CONVERSION", "REWARD", "REFERRAL_REWARD", "MAKER_REBATE",
    "TAKER_REBATE", "YIELD", "DEPOSIT", "WITHDRAWAL",
)  # fmt: skip

# Why a figure is not exact, beside what _LEFT_OUT names. They are told as one number of a bit each,
# and put into words where a bit is set: eight texts a row took a tenth of the whole query.
_REASONS = {
    "unknown fees": "num_fills > num_fills_with_fee",
    "unread history": "NOT is_read",
    "unknown outcome": "unplaced > 0",
    "unknown amount": "unknown_amounts > 0",
    "unknown price": "is_unpriced",
    "disputed result": "is_disputed AND arrayExists(micro -> micro != 0, held)",
    "transfer": "is_short",
    "position differs": """is_watched AND arrayExists((micro, listed, rate) ->
        abs(micro - listed) > greatest(1000, 1e-6 * listed)
        AND NOT (is_resolved AND rate = 0 AND micro >= 0)
        AND NOT (listed = 0 AND micro BETWEEN -10000 AND 0)
        AND NOT (listed = 0 AND micro > 0 AND (micro < 100000 OR is_hidden)),
        held, listed_micro, rates)""",
}

# Shares are compared with the API's as in vw_positions_reconciled; a hundredth of a share that is
# short is none: the API lists no smaller fill.
_SELECT = """
WITH
    arrayExists((micro, rate) -> micro != 0 AND rate < 0, held, rates) AS is_unpriced,
    arrayMin(held) < -10000 AS is_short,
    arraySum((micro, rate) -> toInt128(micro) * greatest(rate, 0), held, rates) AS value_atto,
    toInt64(round(toFloat64(value_atto + toInt128(
        sold_nano - bought_nano - split_nano + merge_nano + redemption_nano + conversion_nano
        + reward_nano + rebate_nano + yield_nano - 1000 * fee_micro) * 1000000000) / 1e12))
        AS economic_micro,
    num_fills > 0 AND is_resolved AND first_outcome >= 0 AND last_outcome < length(payouts)
        AS is_counted,
    toInt64(round(toFloat64(
        toInt128(sold_nano - bought_nano) * 1000000000
        + arraySum((micro, rate) -> toInt128(micro) * greatest(rate, 0), net, rates)) / 1e12))
        AS pnl_micro
SELECT
    wallet_address, condition_id, category, is_resolved, num_fills, num_fills_with_fee,
    bought_micro / 1e6 AS bought_shares, {bought} AS bought_usd,
    sold_micro / 1e6 AS sold_shares, {sold} AS sold_usd,
    if(num_fills > 0 AND num_fills_with_fee = 0, NULL, {fees}) AS fees_usd,
    {split} AS split_usd, {merge} AS merged_usd, {redemption} AS redeemed_usd,
    converted_micro / 1e6 AS converted_shares, {conversion} AS converted_usd,
    {reward} AS reward_usd, {rebate} AS rebate_usd, {yield} AS yield_usd,
    arrayMap(micro -> micro / 1e6, held) AS shares_held,
    arrayMap(rate -> if(rate < 0, NULL, toFloat64(rate) / 1e12), rates) AS prices,
    if(is_unpriced OR is_short, NULL, {value}) AS value_usd,
    if(is_exact, {economic}, NULL) AS economic_pnl_usd,
    if(is_counted, {pnl}, NULL) AS held_to_resolution_pnl_usd,
    empty(inexact_reasons) AS is_exact,
    arraySort(arrayConcat(left_out,
        arrayMap(bit -> [{reasons}][bit + 1], bitPositionsToArray(toUInt64({reason_bits})))))
        AS inexact_reasons,
    multiIf(
        net[1] > net[2], 'YES', net[1] < net[2], 'NO',
        bought_lean > 0, 'YES', bought_lean < 0, 'NO', '') AS side,
    if(num_fills > 0 AND ended > began, (first_at - began) / (ended - began), NULL) AS entry_share
FROM
(
    SELECT
        changed.*,
        {cash},
        arraySum(one -> one.1 = 'conversion' AND one.3 < 0 ? -one.3 : 0, told) AS converted_micro,
        net_yes + arraySum(one -> one.5 AND one.2 = 0 ? one.3 : 0, told) AS held_yes,
        net_no + arraySum(one -> one.5 AND one.2 = 1 ? one.3 : 0, told) AS held_no,
        arrayCount(one -> one.6, told) AS unknown_amounts,
        CAST(arrayFilter(kind -> kind IN ({left_out}), arrayDistinct(arrayMap(one -> one.1, told))),
            'Array(String)') AS left_out,
        if(market.category = '', {uncategorized}, market.category) AS category,
        market.payouts AS payouts, market.is_disputed AS is_disputed, market.is_hidden AS is_hidden,
        notEmpty(market.payouts) AS is_resolved,
        greatest(2, length(market.payouts), length(market.list_rates),
            toUInt64(1 + arrayMax(arrayPushBack(arrayMap(one -> one.1, others), 0)))) AS outcomes,
        {net} AS net,
        {listed_by_outcome} AS listed_micro,
        -- By outcome the last redemption that ended its holding, epoch second: what lost is burnt
        -- with what is redeemed, and everything by a redemption that names no token while no single
        -- winner is known; one that names a token leaves others that pay. A redemption takes of the
        -- winner what it says.
        multiIf(empty(redemptions), CAST([], 'Array(String)'), empty(market.token_ids), ['0', '1'],
            market.token_ids) AS tokens,
        arrayMap((token, payout) ->
            payout = {whole} AND countEqual(market.payouts, {whole}) = 1 ? toInt64(0)
            : arrayMax(arrayPushBack(arrayMap(one -> one.1,
                arrayFilter(one -> NOT has(one.2, token) AND (has(one.2, '') OR NOT payout > 0),
                    redemptions)), 0)),
            tokens, arrayResize(market.payouts, length(tokens))) AS burnt_at,
        arrayMap((ended_at, place) -> arraySum(
                one -> one.2 + 1 = place AND one.1 > ended_at ? one.3 : 0, dated),
            arrayResize(burnt_at, empty(redemptions) ? 0 : outcomes) AS burnt_by_outcome,
            arrayEnumerate(burnt_by_outcome)) AS held_after,
        if(notEmpty(redemptions), held_after, {held}) AS held,
        -- In 10^-12 USD, -1 when unknown: the payout, else the lists' price, else the position's.
        arrayMap(price -> toInt128(round(ifNull(price, -1e-12) * 1e12)), [price_yes, price_no])
            AS position_rates,
        arrayResize(
            is_resolved ? market.payouts : arrayConcat(market.list_rates,
                arraySlice(position_rates, length(market.list_rates) + 1)),
            outcomes, toInt128(-1)) AS rates,
        -- 128 bits instead of the text: two wallets that share them are beyond all chance.
        sipHash128(wallet_address) IN (
            SELECT sipHash128(wallet_address) FROM wallet_backfill_plan WHERE status = 'done')
            AS is_read,
        sipHash128(wallet_address) IN (SELECT sipHash128(wallet_address) FROM ingested_positions)
            AS is_watched,
        toInt64(toUnixTimestamp(market.start_date)) AS began,
        toInt64(toUnixTimestamp(market.ended)) AS ended
    FROM ({changed}) AS changed
    LEFT JOIN ({markets}) AS market ON market.condition_id = changed.condition_id
)
SETTINGS join_use_nulls = 0
"""

# A wallet in a market. What is rare keeps its rows, for a sum takes memory in every wallet and
# market. Outcomes beyond the second, in `others`: (outcome, micro-shares by fills, held, listed).
# What is neither fill nor position, in `told`: (kind, outcome, micro-shares, nano-USD, whether it
# is a change, whether its amount is unknown). Where a wallet redeemed, `dated` are its changes:
# (epoch second, outcome, micro-shares). A hash of wallet and market finds where that is; should it
# ever find one too many, these changes are there in vain, for there are no redemptions beside them.
_CHANGED = """
SELECT
    wallet_address, condition_id,
    countIf(is_fill) AS num_fills, count(fee) AS num_fills_with_fee,
    ifNull(sum(fee), 0) AS fee_micro,
    sumIf(usd_nano, kind = 'buy') AS bought_nano, sumIf(usd_nano, kind = 'sell') AS sold_nano,
    sumIf(micro, kind = 'buy') AS bought_micro, -sumIf(micro, kind = 'sell') AS sold_micro,
    sumIf(micro, is_fill AND outcome = 0) AS net_yes,
    sumIf(micro, is_fill AND outcome = 1) AS net_no,
    sumIf(micro, kind = 'position' AND outcome = 0) AS listed_yes,
    sumIf(micro, kind = 'position' AND outcome = 1) AS listed_no,
    maxIf(price, outcome = 0) AS price_yes, maxIf(price, outcome = 1) AS price_no,
    sumIf(if(outcome = 0, micro, -micro), kind = 'buy' AND outcome IN (0, 1)) AS bought_lean,
    groupArrayIf((outcome, is_fill ? micro : 0, at > 0 ? micro : 0, kind = 'position' ? micro : 0),
        outcome > 1) AS others,
    groupArrayIf((at, outcome, micro), at > 0 AND outcome >= 0
        AND cityHash64(wallet_address, condition_id) IN (
            SELECT cityHash64(wallet_address, condition_id) FROM redemptions_told)) AS dated,
    groupArrayArray(redemptions) AS redemptions,
    minIf(outcome, is_fill) AS first_outcome, maxIf(outcome, is_fill) AS last_outcome,
    minIf(at, is_fill) AS first_at,
    countIf(outcome = -1 AND micro != 0 AND kind != 'position') AS unplaced,
    groupArrayIf((kind, outcome, micro, usd_nano, at > 0, is_unknown),
        NOT is_fill AND kind != 'position') AS told
FROM ({changes})
WHERE wallet_address NOT IN ({contracts})
GROUP BY wallet_address, condition_id
"""

# `outcome`: -1 unknown, -2 for cash alone. What no fill can be (see `polymarket.fields`; other
# hands may have stored it) counts as nothing; 64 bits hold the rest.
_CHANGES = """
WITH ({tokens}) AS token
SELECT
    wallet_address, condition_id, toInt64(toUnixTimestamp(trade_timestamp)) AS at,
    if(outcome_index >= 0, toInt32(outcome_index), transform(token_id, token.1, token.2, -1))
        AS outcome,
    CAST(if(side = 'BUY', 'buy', 'sell'), '{kinds}') AS kind, true AS is_fill,
    if(side = 'BUY', 1, -1) * {micro} AS micro,
    toInt64(round(if(abs(usd) < 9e9, usd, 0) * 1e9)) AS usd_nano, false AS is_unknown,
    toInt64(round(if(abs(fees) < 9e9, fees, NULL) * 1e6)) AS fee,
    CAST(NULL, 'Nullable(Float64)') AS price,
    CAST([], 'Array(Tuple(Int64, Array(String)))') AS redemptions
FROM trades_for_pnl
WHERE condition_id != ''
UNION ALL
SELECT
    wallet_address, condition_id, toInt64(toUnixTimestamp(at)) AS at,
    outcome, CAST(kind, '{kinds}') AS kind, false AS is_fill, {micro} AS micro,
    toInt64(round(if(abs(ifNull(usd, 0)) < 9e9, abs(ifNull(usd, 0)), 0) * 1e9)) AS usd_nano,
    isNull(usd) AS is_unknown,
    CAST(NULL, 'Nullable(Int64)') AS fee, CAST(NULL, 'Nullable(Float64)') AS price,
    [] AS redemptions
FROM wallet_activity_changes
UNION ALL
SELECT
    wallet_address, condition_id, toInt64(0) AS at, toInt32(-2) AS outcome,
    CAST('redemption', '{kinds}') AS kind, false AS is_fill, toInt64(0) AS micro,
    toInt64(0) AS usd_nano, false AS is_unknown, CAST(NULL, 'Nullable(Int64)') AS fee,
    CAST(NULL, 'Nullable(Float64)') AS price, redemptions
FROM redemptions_told
UNION ALL
SELECT
    wallet_address, condition_id, toInt64(0) AS at, toInt32(outcome) AS outcome,
    CAST('position', '{kinds}') AS kind, false AS is_fill, {listed} AS micro,
    toInt64(0) AS usd_nano, false AS is_unknown, CAST(NULL, 'Nullable(Int64)') AS fee,
    current_price AS price, [] AS redemptions
FROM api_positions_staging
WHERE size > 0
UNION ALL
SELECT
    wallet_address,
    if(activity_type = 'MIGRATION' AND NOT is_combo, condition_id, '') AS condition_id,
    toInt64(0) AS at, toInt32(-2) AS outcome,
    CAST(multiIf(is_combo, 'combos', activity_type = 'MIGRATION', 'migration', 'unknown activity'),
        '{kinds}') AS kind,
    false AS is_fill, toInt64(0) AS micro, toInt64(0) AS usd_nano, false AS is_unknown,
    CAST(NULL, 'Nullable(Int64)') AS fee, CAST(NULL, 'Nullable(Float64)') AS price,
    [] AS redemptions
FROM wallet_activity_raw
WHERE is_combo OR activity_type NOT IN ({known_types})
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

# By outcome, of the first two and of those beyond: see _CHANGED.
_BY_OUTCOME = """
if(empty(others), arrayResize({two}, outcomes), arrayMap(
    (micro, place) -> micro + arraySum(one -> one.1 + 1 = place ? one.{field} : 0, others),
    arrayResize({two}, outcomes), range(1, 1 + outcomes)))
"""

# What a share of each outcome pays and costs, in 10^-12 USD; empty while a market is unresolved,
# and where Gamma shows no price.
_MARKETS = """
SELECT
    condition_id, toString(d.category) AS category, d.start_date AS start_date,
    coalesce(v.resolved_at, d.end_date) AS ended, v.is_disputed AS is_disputed,
    d.is_hidden AS is_hidden,
    v.token_ids AS token_ids,
    arrayMap(p -> toInt128(round(if(abs(p) < 1e3, p, 0) * 1e12)), v.payouts) AS payouts,
    arrayMap(p -> toInt128(round(if(abs(p) < 1e3, p, 0) * 1e12)), v.list_prices) AS list_rates
FROM
(
    SELECT condition_id, category, start_date, end_date,
        condition_id IN (
            SELECT condition_id FROM api_market_rows
            WHERE source = 'gamma' AND (NOT active OR archived)) AS is_hidden
    FROM markets_dim
) AS d
FULL OUTER JOIN
(
    SELECT condition_id, token_ids, payouts, notEmpty(payouts) ? resolved_at : NULL AS resolved_at,
        is_disputed OR empty(payouts) AND (notEmpty(by_resolutions) OR notEmpty(by_gamma)
            OR notEmpty(by_order_book) OR is_impossible OR winning_slot = -2) AS is_disputed,
        arraySum(gamma_prices) > 0 ? gamma_prices : [] AS list_prices
    FROM market_verdicts
) AS v USING (condition_id)
"""


def select() -> str:
    """The SELECT that `wallet_market_pnl` is made of."""
    kinds = ", ".join(f"''{kind}'' = {number}" for number, kind in enumerate(_KINDS))
    micro = "toInt64(round(if(abs({0}) < 1e12, {0}, 0) * 1e6))"
    changes = _CHANGES.format(
        tokens=_TOKENS,
        kinds=f"Enum8({kinds})".replace("''", "\\'"),
        micro=micro.format("shares"),
        listed=micro.format("size"),
        known_types=_literals(_KNOWN_TYPES),
    )
    changed = _CHANGED.format(
        contracts=_literals(contracts.CONTRACTS),
        changes=changes,
    )
    usd = {kind: _usd(f"round({kind}_nano / 1e3)") for kind in _CASH}
    nano = "arraySum(one -> one.1 = '{0}' ? one.4 : 0, told) AS {0}_nano"
    return _SELECT.format(
        **usd,
        cash=",\n        ".join(nano.format(kind) for kind in _CASH),
        left_out=_literals(_LEFT_OUT),
        bought=_usd("round(bought_nano / 1e3)"),
        sold=_usd("round(sold_nano / 1e3)"),
        fees=_usd("fee_micro"),
        value=_usd("round(toFloat64(value_atto) / 1e12)"),
        economic=_usd("economic_micro"),
        pnl=_usd("pnl_micro"),
        net=_BY_OUTCOME.format(two="[net_yes, net_no]", field=2),
        held=_BY_OUTCOME.format(two="[held_yes, held_no]", field=3),
        listed_by_outcome=_BY_OUTCOME.format(two="[listed_yes, listed_no]", field=4),
        whole=f"toInt128({10**12})",
        reasons=_literals(_REASONS),
        reason_bits=" + ".join(f"{1 << n} * ({sql})" for n, sql in enumerate(_REASONS.values())),
        uncategorized=statements.quoted(taxonomy.UNCATEGORIZED),
        changed=changed,
        markets=_MARKETS,
    )


def _usd(micro: str) -> str:
    return _USD.format(micro=f"toInt64({micro})")


def _literals(texts: Iterable[str]) -> str:
    return ", ".join(statements.quoted(text) for text in texts)
