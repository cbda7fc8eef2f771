"""What a wallet's activity tells of fills that a market's feed brought first: USD and fee.

A fill is stored once, by whichever feed comes first, and only the wallet's activity tells what
changed hands. Where it comes second, the landing view `fill_costs_mv` keeps its figures in
`fill_costs`; `fold` writes them into `external_trades_raw`, where they were NULL so far. The result
is the same in either order, and at no moment is a fill there twice.

A mutation writes two columns anew, for every row of the table. That is cheap a few times per run,
and would not be once per batch (docs/decisions.md).
"""

from __future__ import annotations

import structlog

from chdb_http import statements
from polybackfill import errors
from polybackfill.store import client, definitions

log = structlog.get_logger()

# Fills of one mutation. The table that it looks them up in takes about 100 bytes a fill.
_SLICE = 1_000_000
_DROP = "DROP TABLE IF EXISTS fill_costs_slice {on_cluster} SYNC"
# An engine for look-ups, in memory. A mutation works on each part of the table by itself: what it
# gets from a subquery it asks for anew for every part, and a look-up costs a part nothing.
# usdc_size is Nullable so that an id which is not there answers NULL, and not 0.
_MAKE = """
CREATE TABLE fill_costs_slice {on_cluster}
    (external_trade_id UUID, usdc_size Nullable(Float64), fees Nullable(Float64))
ENGINE = Join(ANY, LEFT, external_trade_id) SETTINGS persistent = 0
AS SELECT external_trade_id, toNullable(usdc_size) AS usdc_size, fees FROM fill_costs
WHERE cityHash64(external_trade_id) % {{slices:UInt32}} = {{slice:UInt32}}
"""
_ON_ALL_SERVERS = """
SELECT
    (SELECT count() FROM clusterAllReplicas({cluster}, system.one)) AS servers,
    (SELECT count()
    FROM clusterAllReplicas({cluster}, currentDatabase(), fill_costs_slice)) AS fills
"""
_FOLD = """
ALTER TABLE external_trades_raw UPDATE
    usdc_size = joinGet({slice:String}, 'usdc_size', external_trade_id),
    fees = joinGet({slice:String}, 'fees', external_trade_id)
WHERE isNull(usdc_size) AND isNotNull(joinGet({slice:String}, 'usdc_size', external_trade_id))
SETTINGS allow_nondeterministic_mutations = 1
"""


async def fold(store: client.Store, *, slice_fills: int = _SLICE) -> int:
    """Write what `fill_costs` holds into `external_trades_raw`, and empty it; how many fills.

    Nothing may be inserted meanwhile. Ended at any moment and called again, it comes to the same.
    Raises what the store raises, and errors.Retry when the servers of a cluster do not hold the
    same costs.
    """
    return sum([await _fold(server, slice_fills) for server in store.servers])


async def _fold(store: client.Store, slice_fills: int) -> int:
    (costs,) = await store.rows("SELECT count() AS n FROM fill_costs")
    on_cluster = definitions.on_cluster(store.address.cluster)
    slices, fills = -(-int(costs["n"]) // slice_fills), 0
    for number in range(slices):
        await store.command(_DROP.format(on_cluster=on_cluster))
        making = _MAKE.format(on_cluster=on_cluster)
        await store.command(making, parameters={"slices": slices, "slice": number})
        fills += await _fills_of_slice(store)
        # The mutation runs where no database is chosen, so the name carries its own.
        name = f"{store.address.database}.fill_costs_slice"
        await store.command(_FOLD, parameters={"slice": name})
    if fills:
        await store.command(f"TRUNCATE TABLE fill_costs {on_cluster}")
        await store.command(_DROP.format(on_cluster=on_cluster))
        log.info("fill_costs.folded", fills=fills)
    return fills


async def _fills_of_slice(store: client.Store) -> int:
    """How many fills the slice has, the same on every server: each changes its own rows by it."""
    (here,) = await store.rows("SELECT count() AS fills FROM fill_costs_slice")
    fills = int(here["fills"])
    if store.address.cluster:
        cluster = statements.quoted(store.address.cluster)
        (all_servers,) = await store.rows(_ON_ALL_SERVERS.format(cluster=cluster))
        if int(all_servers["fills"]) != fills * int(all_servers["servers"]):
            raise errors.Retry(f"not every server of the cluster holds the {fills} costs of fills")
    return fills
