"""All that some wallets did: their trades, and everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator

from polybackfill import records, units
from polybackfill.kinds import conditions, key_source, proof, size, stored_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import contracts, endpoints, pagination, trade_feed
from polybackfill.store import backlog_counts, client, discovery, stale_keys

ACTIVITY = stored_table.StoredTable(
    rows=(records.Activity,),
    inserted="wallet_activity_landing",
    stored="wallet_activity_raw",
    shown="wallet_activity_raw",
    key="activity_id",
    grows=True,
    digest=stored_table.Digest(
        "activity",
        "concat(tx_hash, '|', wallet_address, '|', condition_id, '|', token_id, '|', "
        "activity_type, '|', "
        "toString(toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))), '|', "
        "toString(toUnixTimestamp(activity_timestamp)))",
    ),
)


async def add_traders(store: client.Store) -> None:
    """Every wallet that has traded into the plan, but for contracts."""
    await discovery.add_wallets(store, tuple(contracts.CONTRACTS))


def _walk(
    unit: units.Unit, resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    feed = trade_feed.build_wallet_query(unit.bare_keys[0], unit.since, unit.until)
    return trade_feed.pages(feed, resume, context)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    return size.Size(
        units=ahead.wallets,
        requests=ahead.wallets + size.count_full_pages(ahead.wallet_rows),
        rows=ahead.wallet_rows,
        # most of what a wallet walk brings the market walks have brought already
        row_bytes=0,
    )


KIND = unit_kind.Kind(
    name=units.WALLETS,
    route=endpoints.ACTIVITY,
    walk=_walk,
    keys=key_source.PlanTable(add=add_traders, grown=stale_keys.WALLETS),
    key_flag="wallets",
    needed_for=("wallets",),
    tables=(conditions.TRADES, ACTIVITY),
    estimate=_estimate,
    proof=proof.WholePlan(),
)
