SELECT
    wallet_address, category,
    ifNull(sum(p.held_to_resolution_pnl_usd), 0) AS realized_pnl_usd,
    sum(p.held_to_resolution_pnl_usd) AS held_to_resolution_pnl_usd,
    min(p.is_exact) AS is_exact,
    if(is_exact, sum(p.economic_pnl_usd), NULL) AS economic_pnl_usd,
    arraySort(groupUniqArrayArray(p.inexact_reasons)) AS inexact_reasons,
    sumIf(p.num_fills, is_counted) AS num_fills,
    sumIf(p.num_fills_with_fee, is_counted) AS num_fills_with_fee,
    if(num_fills > 0 AND num_fills_with_fee = 0, NULL, ifNull(sumIf(p.fees_usd, is_counted), 0))
        AS fees_usd,
    sum(p.num_fills) AS num_all_fills, sum(p.num_fills_with_fee) AS num_all_fills_with_fee,
    if(num_all_fills > 0 AND num_all_fills_with_fee = 0, NULL, ifNull(sum(p.fees_usd), 0))
        AS all_fees_usd,
    sumIf(p.bought_usd, is_counted) AS total_position_size_usd,
    sum(p.bought_usd) AS bought_usd,
    if(bought_usd > 0, 100 * toFloat64(total_position_size_usd) / toFloat64(bought_usd), NULL)
        AS coverage_money_pct,
    if(countIf(isNull(p.value_usd)) > 0, NULL, sum(p.value_usd)) AS value_usd,
    countIf(p.num_fills > 0) AS num_markets,
    countIf(is_counted) AS num_resolved_markets,
    countIf(p.held_to_resolution_pnl_usd > 0) AS num_winning_markets,
    countIf(p.held_to_resolution_pnl_usd < 0) AS num_losing_markets,
    countIf(is_counted AND side = 'YES') AS yes_count,
    countIf(is_counted AND side = 'NO') AS no_count,
    countIf(is_counted AND isNotNull(entry_share)) AS dated_markets,
    countIf(is_counted AND entry_share <= {early}) AS early_entries,
    countIf(is_counted AND entry_share >= {late}) AS late_entries
FROM
(
    SELECT *, isNotNull(held_to_resolution_pnl_usd) AS is_counted FROM {markets}
) AS p
GROUP BY wallet_address, category
