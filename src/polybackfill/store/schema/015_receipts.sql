-- What is proven, for SQL: each receipt of each checkpoint that writes to this store. A row is inserted
-- after the checkpoint holds the receipt; `store/stored_receipts` keeps the two in line. A receipt that
-- is written again, or of which some keys were forgotten, takes its own place by its `version`.
CREATE TABLE IF NOT EXISTS backfill_receipt_rows {on_cluster}
(
    kind         LowCardinality(String) COMMENT 'the kind of unit',
    job          LowCardinality(String) DEFAULT '' COMMENT 'the job that several hosts share, empty for a run of its own',
    host         LowCardinality(String) DEFAULT '' COMMENT 'the host of the job that fetched it, empty for a run of its own',
    run_name     LowCardinality(String) COMMENT 'name of the run whose checkpoint holds the receipt',
    seq          UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'number of the change of that checkpoint by which the unit was finished',
    keys         Array(String) CODEC(ZSTD(1)) COMMENT 'what was fetched: wallets or conditions in lower case without 0x, or parts of a list',
    sweep        LowCardinality(String) DEFAULT '' COMMENT 'the reading of a list that is read again and again, empty for none',
    since        Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'first second of the window, epoch seconds, NULL for no bound',
    until        Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'last second of the window, epoch seconds, NULL for no bound',
    rows         UInt64 CODEC(ZSTD(1)) COMMENT 'rows that were stored, of all keys of the unit together',
    pages        UInt64 CODEC(ZSTD(1)) COMMENT 'pages that were read',
    rejected     UInt64 CODEC(ZSTD(1)) COMMENT 'rows that were set aside in quarantine',
    first_second Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'time of the oldest row, epoch seconds, NULL without one',
    last_second  Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'time of the newest row, epoch seconds, NULL without one',
    end_second   Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'when the feed said that it ended, epoch seconds, NULL when not known',
    lag_s        Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'seconds that the source then lay behind the chain, NULL where it does not say',
    end_is_confirmed Bool DEFAULT false COMMENT 'end_second is of the source''s own clock, and not of this machine''s',
    attempts     UInt32 CODEC(ZSTD(1)) COMMENT 'how often the unit was begun',
    partial      Bool DEFAULT false COMMENT 'some keys of the unit were forgotten since: rows, pages and rejected count theirs too',
    recorded_at  DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the checkpoint noted the end, UTC',
    version      UInt32 CODEC(ZSTD(1)) COMMENT 'how often the row was written: the highest counts'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (kind, job, host, run_name, seq)
SETTINGS {synced}
COMMENT 'Receipts as they were written: query backfill_receipts';

CREATE VIEW IF NOT EXISTS backfill_receipts {on_cluster}
(
    kind         LowCardinality(String) COMMENT 'the kind of unit',
    job          LowCardinality(String) COMMENT 'the job that several hosts share, empty for a run of its own',
    host         LowCardinality(String) COMMENT 'the host of the job that fetched it, empty for a run of its own',
    run_name     LowCardinality(String) COMMENT 'name of the run whose checkpoint holds the receipt',
    seq          UInt64 COMMENT 'number of the change of that checkpoint by which the unit was finished',
    keys         Array(String) COMMENT 'what was fetched: wallets or conditions in lower case without 0x, or parts of a list',
    sweep        LowCardinality(String) COMMENT 'the reading of a list that is read again and again, empty for none',
    since        Nullable(Int64) COMMENT 'first second of the window, epoch seconds, NULL for no bound',
    until        Nullable(Int64) COMMENT 'last second of the window, epoch seconds, NULL for no bound',
    rows         UInt64 COMMENT 'rows that were stored, of all keys of the unit together',
    pages        UInt64 COMMENT 'pages that were read',
    rejected     UInt64 COMMENT 'rows that were set aside in quarantine',
    first_second Nullable(Int64) COMMENT 'time of the oldest row, epoch seconds, NULL without one',
    last_second  Nullable(Int64) COMMENT 'time of the newest row, epoch seconds, NULL without one',
    end_second   Nullable(Int64) COMMENT 'when the feed said that it ended, epoch seconds, NULL when not known',
    lag_s        Nullable(Float64) COMMENT 'seconds that the source then lay behind the chain, NULL where it does not say',
    end_is_confirmed Bool COMMENT 'end_second is of the source''s own clock, and not of this machine''s',
    attempts     UInt32 COMMENT 'how often the unit was begun',
    partial      Bool COMMENT 'some keys of the unit were forgotten since: rows, pages and rejected count theirs too',
    recorded_at  DateTime('UTC') COMMENT 'when the checkpoint noted the end, UTC'
) AS
SELECT * EXCEPT version FROM backfill_receipt_rows FINAL;
