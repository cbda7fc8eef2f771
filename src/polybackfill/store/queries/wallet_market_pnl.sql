-- Shares are compared with the API's as in vw_positions_reconciled; a hundredth of a share that is
-- short is none: the API lists no smaller fill.
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
        multiIf(empty(redemptions), CAST([], 'Array(UInt64)'),
            empty(market.token_keys), CAST([1, 2], 'Array(UInt64)'), market.token_keys) AS tokens,
        arrayMap((token, payout) ->
            payout = {whole} AND countEqual(market.payouts, {whole}) = 1 ? toInt64(0)
            : arrayMax(arrayPushBack(arrayMap(one -> one.1,
                arrayFilter(one -> NOT has(one.2, token) AND (has(one.2, 0) OR NOT payout > 0),
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
