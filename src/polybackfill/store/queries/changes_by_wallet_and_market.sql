-- A wallet in a market. What is rare keeps its rows, for a sum takes memory in every wallet and
-- market. Outcomes beyond the second, in `others`: (outcome, micro-shares by fills, held, listed).
-- What is neither fill nor position, in `told`: (kind, outcome, micro-shares, nano-USD, whether it
-- is a change, whether its amount is unknown). Where a wallet redeemed, `dated` are its changes:
-- (epoch second, outcome, micro-shares). A hash of wallet and market finds where that is; should it
-- ever find one too many, these changes are there in vain, for there are no redemptions beside them.
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
