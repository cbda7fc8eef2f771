-- Others that work on the same job may hold too, but for one with the same name, whose checkpoint it is.
SELECT claim, any(host) AS host, any(pid) AS pid, any(boot) AS boot,
       any(namespace) AS namespace, any(born) AS born, any(run_name) AS run_name,
       count() AS beats,
       toUnixTimestamp(min(beat_at)) AS since
FROM backfill_owners
GROUP BY claim
HAVING max(released) = 0 AND max(beat_at) > now64(6, 'UTC') - toIntervalSecond({expires:UInt32})
    AND (
        claim = {claim:String} OR {job:String} = '' OR any(job) != {job:String}
        OR run_name = {run_name:String})
ORDER BY min(beat_at), claim
