SELECT name, toString(uuid) AS uuid, ifNull(total_rows, 0) AS rows, broken
FROM (
    SELECT name, uuid, total_rows FROM system.tables
    WHERE database = currentDatabase() AND name IN {names:Array(String)}
) AS there
LEFT JOIN (
    SELECT table AS name, countIf(startsWith(reason, 'broken') OR reason = 'unexpected') AS broken
    FROM system.detached_parts WHERE database = currentDatabase() GROUP BY name
) AS detached USING (name)
SETTINGS join_use_nulls = 0
