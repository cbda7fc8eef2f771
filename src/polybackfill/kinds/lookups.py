"""Markets that Gamma's lists have not shown, looked up one by one."""

from __future__ import annotations

from polybackfill.kinds import key_source, markets, proof, size
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, gamma_queries, market_lookup
from polybackfill.store import backlog_counts, client, discovery, query_files

_UNLISTED = query_files.read("unlisted_conditions")
# No list is read for planned keys, so what Gamma may yet say otherwise is looked up again.
_UNSETTLED_OF_LISTS = f"""
SELECT condition_id FROM ({discovery.LISTED_CONDITIONS})
WHERE condition_id > {{after:String}} AND condition_id != ''
    AND condition_id NOT IN (
        SELECT condition_id FROM api_market_rows WHERE source = 'gamma' AND closed AND resolved)
ORDER BY condition_id LIMIT {{chunk:UInt32}}
"""
# Resolved since the lists were read, which still show them open.
_CLOSED_SINCE = query_files.read("closed_since_listed")


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    """Of everything nobody can tell before the lists are read."""
    unlisted = 0
    if ahead.bounds.listed_only:
        unlisted = await discovery.count_conditions(store, _UNSETTLED_OF_LISTS)
    return size.Size(
        units=unlisted,
        # once among the open ones, once among the closed ones
        requests=2 * size.count_pages(unlisted, gamma_queries.MAX_CONDITIONS),
        rows=None if ahead.finds_markets else unlisted,
        row_bytes=size.MARKET_BYTES,
    )


KIND = unit_kind.Kind(
    name="lookups",
    route=endpoints.MARKETS,
    walk=unit_kind.by_keys(market_lookup.walk_unit),
    keys_per_request=gamma_queries.MAX_CONDITIONS,
    keys=key_source.MissingConditions(
        "api_market_rows", _UNLISTED, _UNSETTLED_OF_LISTS, also=_CLOSED_SINCE
    ),
    needed_for=("wallets", "conditions"),
    tables=(markets.TABLE,),
    estimate=_estimate,
    proof=proof.NewestSweep(
        proof.find_lost_by_key("lookups", "condition_id", "api_market_rows", least="1")
    ),
)
