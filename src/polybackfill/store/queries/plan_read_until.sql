-- A walk over a window that begins where an earlier reading ended moves that end. An end in the
-- future was told by a clock that was ahead.
ALTER TABLE {table} UPDATE
    read_until = toDateTime(greatest(
        if(read_until > toDateTime({{now:UInt32}}), 0, toUInt32(ifNull(read_until, toDateTime(0)))),
        transform({key}, {{keys:Array(String)}}, {{until:Array(UInt32)}}, toUInt32(0)))),
    last_run_at = toDateTime(
        transform({key}, {{keys:Array(String)}}, {{runs:Array(UInt32)}}, toUInt32(0))),
    updated_at = toDateTime({{now:UInt32}})
WHERE {key} IN {{keys:Array(String)}} AND status = 'done'
    AND toUInt32(ifNull(read_until, toDateTime(0))) >=
        transform({key}, {{keys:Array(String)}}, {{since:Array(UInt32)}}, toUInt32(0))
