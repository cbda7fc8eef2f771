"""All trades of some markets."""

from __future__ import annotations

from collections.abc import AsyncIterator

from polybackfill import records, units
from polybackfill.kinds import key_source, proof, size, stored_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, pagination, trade_feed
from polybackfill.store import backlog_counts, client, discovery, stale_keys

_TRADE_BYTES = 124  # on disk, measured (docs/store.md)
# What the wallets bring, too.
TRADES = stored_table.StoredTable(
    rows=(records.Trade,),
    inserted="external_trades_landing",
    stored="external_trades_raw",
    shown="external_trades_raw",
    key="external_trade_id",
    grows=True,
    digest=stored_table.Digest(
        "trades",
        "concat(tx_hash, '|', wallet_address, '|', token_id, '|', side, '|', "
        "toString(toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))), '|', "
        "toString(toUnixTimestamp(trade_timestamp)))",
    ),
)


def _walk(
    unit: units.Unit, resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    feed = trade_feed.build_condition_query(unit.bare_keys, unit.since, unit.until)
    return trade_feed.pages(feed, resume, context)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    requests = size.count_pages(ahead.conditions, units.MAX_KEYS_PER_BATCH)
    requests += size.count_pages(ahead.open_again, units.MAX_KEYS_PER_BATCH)
    return size.Size(
        units=ahead.conditions + ahead.open_again,
        requests=requests + size.count_full_pages(ahead.condition_rows),
        rows=ahead.condition_rows,
        row_bytes=_TRADE_BYTES,
    )


KIND = unit_kind.Kind(
    name=units.CONDITIONS,
    route=endpoints.TRADES,
    walk=_walk,
    keys_per_request=units.MAX_KEYS_PER_BATCH,
    keys=key_source.PlanTable(add=discovery.add_markets, grown=stale_keys.MARKETS),
    key_flag="conditions",
    needed_for=("conditions",),
    tables=(TRADES,),
    estimate=_estimate,
    proof=proof.WholePlan(),
)
