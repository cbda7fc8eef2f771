-- An event's own market list is asked where a market names no event, and the accepted look-ups where
-- it names no market id: the lists are fetched apart.
-- A market `m` with its event `e`.
FROM
(
    SELECT
        market.condition_id AS condition_id, market.market_slug AS market_slug,
        market.event_slug AS event_slug, market.question AS question,
        market.outcomes AS outcomes, market.category AS category, market.tags AS tags,
        market.start_date AS start_date, market.end_date AS end_date,
        if(market.market_id != '', market.market_id, looked_up.market_id) AS market_id,
        if(market.event_id != '', market.event_id, listed.event_id) AS event
    FROM
    (
        SELECT condition_id, market_id, market_slug, event_id, event_slug, question, outcomes,
            category, start_date, end_date,
            CAST(tags AS Array(String)) AS tags
        FROM api_markets_staging
    ) AS market
    LEFT JOIN
    (
        SELECT condition_id, argMin(event_id, toUInt64OrZero(event_id)) AS event_id
        FROM api_events_staging ARRAY JOIN condition_ids AS condition_id
        GROUP BY condition_id
    ) AS listed ON listed.condition_id = market.condition_id
    LEFT JOIN
    (
        SELECT condition_id, market_id FROM condition_market_ids
    ) AS looked_up ON looked_up.condition_id = market.condition_id
) AS m
LEFT JOIN
(
    SELECT event_id, event_slug, category, CAST(tags AS Array(String)) AS tags
    FROM api_events_staging
) AS e ON e.event_id = m.event
