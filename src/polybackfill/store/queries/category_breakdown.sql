-- By rank, the wallets whose figure is not shown last; a wallet's rows stand together.
SELECT
    c.wallet_address AS wallet_address, toString(c.category) AS category,
    c.realized_pnl_usd AS realized_pnl_usd, c.fees_usd AS fees_usd,
    c.total_position_size_usd AS total_position_size_usd,
    c.num_markets AS num_markets, c.num_resolved_markets AS num_resolved_markets,
    c.num_winning_markets AS num_winning_markets, c.num_losing_markets AS num_losing_markets,
    c.yes_count AS yes_count, c.no_count AS no_count, c.dated_markets AS dated_markets,
    c.early_entries AS early_entries, c.late_entries AS late_entries,
    c.num_fills AS num_fills, c.num_fills_with_fee AS num_fills_with_fee,
    w.num_fills AS wallet_fills, w.num_fills_with_fee AS wallet_fills_with_fee,
    w.realized_pnl_usd AS wallet_pnl_usd, w.fees_usd AS wallet_fees_usd, w.band AS band,
    w.coverage_pct AS coverage_pct, w.rank AS rank,
    w.economic_pnl_usd AS economic_pnl_usd, w.inexact_reasons AS inexact_reasons,
    w.num_markets AS wallet_markets, w.num_resolved_markets AS wallet_resolved_markets
FROM wallet_category_pnl AS c
INNER JOIN wallet_pnl AS w ON w.wallet_address = c.wallet_address
WHERE c.num_markets > 0
ORDER BY w.rank = 0, w.rank, c.wallet_address, c.realized_pnl_usd DESC, c.category
