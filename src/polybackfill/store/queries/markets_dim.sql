SELECT
    m.condition_id AS condition_id,
    m.market_id AS market_id,
    m.event AS event_id,
    if(e.event_slug != '', e.event_slug, m.event_slug) AS event_slug,
    m.market_slug AS market_slug,
    m.question AS question,
    m.outcomes AS outcomes,
    {category} AS category,
    arraySort(arrayDistinct(arrayConcat(m.tags, e.tags))) AS tags,
    multiIf(length(p.payouts) != 2, NULL,
        p.payouts[1] > p.payouts[2], 'YES',
        p.payouts[1] < p.payouts[2], 'NO', NULL) AS resolved_outcome,
    if(length(p.payouts) = 2, p.payouts[1], NULL) AS payout_yes,
    if(length(p.payouts) = 2, p.payouts[2], NULL) AS payout_no,
    p.payouts AS payouts,
    p.resolved_at AS resolved_at,
    m.start_date AS start_date,
    m.end_date AS end_date
{source}
LEFT JOIN market_payouts AS p ON p.condition_id = m.condition_id
SETTINGS join_use_nulls = 0
