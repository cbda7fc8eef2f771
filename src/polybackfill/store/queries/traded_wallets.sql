-- The status is looked for by key and said in words: an outer join alone would fill in the first
-- value of the enum for a wallet that stands in no plan.
SELECT concat('0x', key) AS wallet, internal, external, internal_usd, external_usd,
    if(planned = '', 'not planned', planned) AS status
FROM {by_key} AS traded
LEFT JOIN (
    SELECT wallet_address AS key, toString(status) AS planned FROM wallet_backfill_plan
) AS plan USING (key)
ORDER BY internal_usd + external_usd DESC, key LIMIT {limit}
SETTINGS join_use_nulls = 0
