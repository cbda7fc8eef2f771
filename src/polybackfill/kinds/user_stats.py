"""What Polymarket says the first wallets of the plan earned."""

from __future__ import annotations

from polybackfill import records, settings
from polybackfill.kinds import key_source, proof, size, stored_table, wallets
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, user_stats
from polybackfill.store import backlog_counts, client

_BYTES = 150  # on disk, measured
_TABLE = stored_table.StoredTable(
    rows=(records.UserStats,),
    inserted="api_user_stat_rows",
    stored="api_user_stat_rows",
    shown="api_user_stats",
    key="wallet_address",
    version="max(version)",
    noted_key="concat('user-stats ', wallet_address)",
)


def _count_wallets(backfill: settings.BackfillSettings) -> int:
    return backfill.official_wallets


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    asked_for = min(ahead.planned_wallets, ahead.bounds.official)
    return size.Size(asked_for, asked_for, asked_for, _BYTES)


KIND = unit_kind.Kind(
    name="user-stats",
    route=endpoints.USER_STATS,
    walk=unit_kind.by_keys(user_stats.walk_unit),
    keys=key_source.PlannedWallets(add=wallets.add_traders, most=_count_wallets),
    # When a wallet and what it holds were read, so that both figures speak of the same time.
    upstream=unit_kind.Upstream(ready=("conditions", "wallets", "positions")),
    key_flag="wallets",
    needed_for=("wallets",),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        # How many of the plan are read is a setting of the run, so what was ever begun counts.
        "SELECT wallet_address AS key FROM api_user_stats",
        is_optional=True,
        lost_units=proof.find_lost_by_key(
            "user-stats", "wallet_address", "api_user_stat_rows", least="1"
        ),
    ),
)
