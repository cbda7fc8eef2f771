"""Gamma's list of events, read by spans of start dates."""

from __future__ import annotations

from polybackfill import records
from polybackfill.kinds import key_source, markets, proof, size, stored_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, gamma
from polybackfill.store import backlog_counts, client

TABLE = stored_table.StoredTable(
    rows=(records.Event,),
    inserted="api_event_rows",
    stored="api_event_rows",
    shown="api_events_staging",
    key="event_id",
    version="max(version)",
    digest=stored_table.Digest(
        "events",
        "concat(event_id, '|', event_slug, '|', toString(toUInt8(closed)), '|', "
        "arrayStringConcat(arraySort(x -> toUInt64OrZero(x), market_ids), ','))",
    ),
    noted_key="concat('event ', event_id)",
)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    return size.measure_gamma_list(ahead.events)


KIND = unit_kind.Kind(
    name="events",
    route=endpoints.EVENTS,
    walk=unit_kind.by_keys(gamma.walk_events),
    keys=key_source.WholeList(markets.name_spans),
    tables=(TABLE,),
    estimate=_estimate,
    proof=proof.NewestSweep(),
)
