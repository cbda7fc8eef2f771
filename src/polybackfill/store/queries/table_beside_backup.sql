-- 1: in the table, 2: in the backup, 3: in both.
SELECT countIf(found = 1) AS not_in_backup, countIf(found = 2) AS not_in_table
FROM (
    SELECT id, groupBitOr(place) AS found
    FROM (
        SELECT {id} AS id, toUInt8(1) AS place FROM {table}
        WHERE cityHash64({id}) % {buckets} = {bucket}
        UNION ALL
        SELECT {id} AS id, toUInt8(2) AS place FROM {backup}
        WHERE cityHash64({id}) % {buckets} = {bucket}
    )
    GROUP BY id
)
