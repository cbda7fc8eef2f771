-- Bounded by the number of sources there are, a look at the trades ends as soon as it has seen them
-- all; without, it took a seventh of the whole report.
SELECT uniqExact(source) AS possible
FROM
(
    SELECT DISTINCT toString(source) AS source FROM external_trades_raw
    UNION ALL
    SELECT DISTINCT toString(data_source) AS source FROM pm_fills
    UNION ALL
    SELECT * FROM (SELECT 'blockchain' AS source FROM vw_trades_canonical LIMIT 1)
)
