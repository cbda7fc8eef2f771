SELECT count() AS wallets,
    countIf(isNotNull(difference)) AS compared,
    countIf(abs(difference) <= greatest({near_usd}, {near_share} * abs(official_pnl_usd)))
        AS within_1_usd_or_1_percent,
    countIf(outcome = 'differs') AS differing,
    countIf(outcome = 'prices moved') AS prices_moved,
    countIf(outcome = 'traded since') AS traded_since,
    countIf(outcome = 'not comparable') AS not_comparable,
    round(sum(abs(difference)), 2) AS usd_apart,
    round(sum(abs(difference_trades)), 2) AS usd_apart_in_trades,
    round(sum(abs(difference_fees)), 2) AS usd_apart_in_fees,
    round(sum(abs(difference_rewards)), 2) AS usd_apart_in_rewards,
    round(sum(abs(difference_unrealized)), 2) AS usd_apart_in_unrealized
FROM ({compared})
