"""What each wallet of the plan holds."""

from __future__ import annotations

from polybackfill import records
from polybackfill.kinds import key_source, proof, size, stored_table, wallets
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, positions
from polybackfill.store import backlog_counts, client

_BYTES = 90  # on disk, measured
# 9 at the median (published data set of 2.9 million wallets, mid-2026).
_PER_WALLET = 20

_LOST = """
SELECT concat('positions of 0x', wallet_address) AS lost, positions AS landed, found AS stored
FROM (SELECT wallet_address, positions FROM ingested_positions FINAL) AS landed
LEFT JOIN (
    SELECT wallet_address, count() AS found FROM api_positions_staging GROUP BY wallet_address
) AS stored USING (wallet_address)
WHERE found < positions
SETTINGS join_use_nulls = 0
"""
# Each complete reading of a wallet leaves a row, also when the wallet holds nothing.
_LOST_UNITS = f"""
SELECT DISTINCT unit FROM {{units}}
WHERE kind = 'positions' AND state = 'done'
    AND (key NOT IN (SELECT wallet_address FROM ingested_positions)
        OR concat('positions of 0x', key) IN (SELECT lost FROM ({_LOST})))
"""
_TABLE = stored_table.StoredTable(
    rows=(records.Position, records.PositionsEnd),
    inserted="api_positions_landing",
    stored="api_position_rows",
    shown="api_positions_staging",
    key="(wallet_address, condition_id, outcome, asset_id)",
    version="intDiv(max(version), 2)",  # twice the tick, and one more
    digest=stored_table.Digest(
        "positions",
        "concat(wallet_address, '|', condition_id, '|', toString(outcome), '|', asset_id, '|', "
        "if(status = 'CLOSED', 'CLOSED', 'OPEN'), '|', "
        "toString(toInt64(round(if(abs(size) < 1e12, size, 0) * 1e6))))",
    ),
    noted_counts=stored_table.NotedCounts(
        "positions",
        "ingested_positions",
        "SELECT sum(positions) FROM ingested_positions FINAL",
        _LOST,
    ),
)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    holders = ahead.planned_wallets
    return size.Size(holders, KIND.requests(holders), _PER_WALLET * holders, _BYTES)


KIND = unit_kind.Kind(
    name="positions",
    route=endpoints.POSITIONS,
    walk=unit_kind.by_keys(positions.walk_unit),
    lists=2,  # a third only for who had an event within a day, few of all wallets
    keys=key_source.PlannedWallets(add=wallets.add_traders),
    upstream=unit_kind.Upstream(ended=("conditions",)),
    key_flag="wallets",
    needed_for=("wallets",),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        "SELECT wallet_address AS key FROM wallet_backfill_plan WHERE status != 'skip'",
        lost_units=_LOST_UNITS,
    ),
)
