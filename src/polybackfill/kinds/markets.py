"""Gamma's list of markets, read by spans of start dates."""

from __future__ import annotations

from polybackfill import records
from polybackfill.kinds import key_source, proof, size, stored_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, gamma, list_partitions, pagination
from polybackfill.store import backlog_counts, client

# What the order book and the lookups bring, too.
TABLE = stored_table.StoredTable(
    rows=(records.Market,),
    inserted="api_market_rows",
    stored="api_market_rows",
    shown="api_markets_staging",
    key="condition_id",
    version="max(version)",
    digest=stored_table.Digest(
        "markets",
        "concat(condition_id, '|', market_id, '|', market_slug, '|', toString(toUInt8(closed)), "
        "'|', toString(toUInt8(resolved)), '|', ifNull(toString(winning_outcome), ''))",
    ),
    noted_key="concat('market ', source, ' ', condition_id, ' ', market_id, ' ', market_slug)",
)


async def name_spans(context: pagination.RequestContext, began: float) -> list[str]:
    """The spans of a list of Gamma's, in a sweep that began at `began` (epoch seconds)."""
    del context
    return [
        key
        for closed in (False, True)  # a market that closes meanwhile is seen twice
        for key in list_partitions.sweep(began, closed=closed)
    ]


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    return size.measure_gamma_list(ahead.markets)


KIND = unit_kind.Kind(
    name="markets",
    route=endpoints.MARKETS,
    walk=unit_kind.by_keys(gamma.walk_markets),
    keys=key_source.WholeList(name_spans),
    tables=(TABLE,),
    estimate=_estimate,
    proof=proof.NewestSweep(),
)
