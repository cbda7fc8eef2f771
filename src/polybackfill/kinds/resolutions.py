"""How the markets that the store knows were resolved."""

from __future__ import annotations

from polybackfill import records, units
from polybackfill.kinds import key_source, proof, size, stored_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, resolutions
from polybackfill.store import backlog_counts, client, discovery

_BYTES = 60  # on disk, measured
_RESOLVED = "SELECT condition_id FROM api_resolution_rows WHERE status = 'resolved'"
_UNRESOLVED = f"""
SELECT condition_id FROM ({{shown}})
WHERE condition_id > {{{{after:String}}}} AND condition_id != ''
    AND condition_id NOT IN ({_RESOLVED})
ORDER BY condition_id LIMIT {{{{chunk:UInt32}}}}
"""
_OF_ALL = _UNRESOLVED.format(
    shown="SELECT condition_id FROM api_market_rows "
    "UNION DISTINCT SELECT condition_id FROM external_trades_raw"
)
_OF_LISTS = _UNRESOLVED.format(shown=discovery.LISTED_CONDITIONS)
_TABLE = stored_table.StoredTable(
    rows=(records.Resolution,),
    inserted="api_resolution_rows",
    stored="api_resolution_rows",
    shown="api_resolutions",
    key="condition_id",
    version="max(version)",
    digest=stored_table.Digest(
        "resolutions",
        "concat(condition_id, '|', arrayStringConcat("
        "arrayMap(x -> toString(toInt64(round(if(abs(x) < 1e12, x, 0) * 1e6))), payouts), ','))",
        where="status = 'resolved'",
    ),
    noted_key="concat('resolution ', condition_id)",
)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    if ahead.bounds.listed_only:
        unresolved = await discovery.count_conditions(store, _OF_LISTS)
    else:
        (row,) = await store.rows(f"SELECT uniqExact(condition_id) AS n FROM ({_RESOLVED})")
        unresolved = ahead.bounds.cut(max(0, ahead.markets - int(row["n"])))
    return size.Size(
        units=unresolved,
        requests=KIND.requests(unresolved),
        rows=None if ahead.finds_markets else unresolved,
        row_bytes=_BYTES,
    )


KIND = unit_kind.Kind(
    name="resolutions",
    route=endpoints.RESOLUTIONS,
    walk=unit_kind.by_keys(resolutions.walk_unit),
    keys_per_request=units.MAX_KEYS_PER_BATCH,
    keys=key_source.MissingConditions("api_resolution_rows", _OF_ALL, _OF_LISTS),
    upstream=unit_kind.Upstream(
        ready=("clob", "markets", "events"), ended=("conditions", "wallets")
    ),
    key_flag="conditions",
    needed_for=("wallets", "conditions"),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        "SELECT condition_id AS key FROM api_market_rows WHERE condition_id != '' "
        "UNION DISTINCT SELECT condition_id AS key FROM external_trades_raw",
        # It is final: what is stored is not asked for again.
        settled="SELECT condition_id AS key FROM api_resolutions WHERE status = 'resolved'",
        lost_units=proof.find_lost_by_key(
            "resolutions", "condition_id", "api_resolution_rows", least="least(any(rows), count())"
        ),
    ),
)
