-- What each daemon of a job has proven: of what is read in sweeps the one of this round, of the rest all.
SELECT kind, host, run_name, sum(length(keys)) AS keys, sum(rows) AS rows, sum(pages) AS pages,
    sum(rejected) AS rejected, toString(max(recorded_at)) AS newest
FROM backfill_receipts
WHERE job = {job:String} AND sweep IN ('', {sweep:String})
GROUP BY kind, host, run_name
ORDER BY run_name, host, kind
