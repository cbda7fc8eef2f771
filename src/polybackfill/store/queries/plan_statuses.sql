-- Enum8 from text: a status that is no status is refused by the store.
ALTER TABLE {table} UPDATE
    status = transform({key}, {{keys:Array(String)}}, {{statuses:Array(String)}}, toString(status)),
    error_message = transform(
        {key}, {{keys:Array(String)}}, {{messages:Array(String)}}, error_message),
    attempts = transform({key}, {{keys:Array(String)}}, {{attempts:Array(UInt32)}}, attempts),
    last_run_at = if(
        {key} IN {{ran:Array(String)}},
        toDateTime(transform({key}, {{ran:Array(String)}}, {{runs:Array(UInt32)}}, toUInt32(0))),
        last_run_at),
    read_until = if(
        {key} IN {{read:Array(String)}},
        toDateTime(transform({key}, {{read:Array(String)}}, {{until:Array(UInt32)}}, toUInt32(0))),
        read_until),
    updated_at = toDateTime({{now:UInt32}})
WHERE {key} IN {{keys:Array(String)}}
