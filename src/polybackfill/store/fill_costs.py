"""What a wallet's activity tells of fills that a market's feed brought first: USD and fee.

A fill is stored once, by whichever feed comes first, and only the wallet's activity tells what
changed hands. Where it comes second, the landing view `fill_costs_mv` keeps its figures in
`fill_costs`; `fold` writes them into `external_trades_raw`, where they were NULL so far. The result
is the same in either order, and at no moment is a fill there twice.

A mutation writes two columns anew, for every row of the table. That is cheap a few times per run,
and would not be once per batch (docs/design.md, section 4).
"""

from __future__ import annotations

import structlog

from polybackfill.store import client

log = structlog.get_logger()

# Fills of one mutation. Its arrays and the hash made of them take about 100 bytes a fill.
_SLICE = 1_000_000
# Below every id: a hash of 128 bits is not 0.
_NO_ID = "00000000-0000-0000-0000-000000000000"
# `last`: the highest id of the next slice.
_NEXT = """
SELECT toString(max(external_trade_id)) AS last, count() AS fills
FROM (
    SELECT DISTINCT external_trade_id FROM fill_costs
    WHERE external_trade_id > {after:UUID}
    ORDER BY external_trade_id LIMIT {slice:UInt32}
)
"""
_SLICE_ROWS = """
SELECT * FROM fill_costs
WHERE external_trade_id > {after:UUID} AND external_trade_id <= {last:UUID}
ORDER BY external_trade_id LIMIT 1 BY external_trade_id
"""
_IDS = f"(SELECT groupArray(external_trade_id) FROM ({_SLICE_ROWS}))"
_USDC = f"(SELECT groupArray(usdc_size) FROM ({_SLICE_ROWS}))"
# An array holds no NULL here, because groupArray would leave it out; no fee is below 0.
_FEES = f"(SELECT groupArray(ifNull(fees, -1.)) FROM ({_SLICE_ROWS}))"
_FOLD = f"""
ALTER TABLE external_trades_raw UPDATE
    usdc_size = transform(external_trade_id, {_IDS}, {_USDC}, usdc_size),
    fees = nullIf(transform(external_trade_id, {_IDS}, {_FEES}, fees), -1)
WHERE isNull(usdc_size) AND external_trade_id IN (SELECT external_trade_id FROM ({_SLICE_ROWS}))
SETTINGS allow_nondeterministic_mutations = 1
"""


async def fold(store: client.Store, *, slice_fills: int = _SLICE, on_cluster: str = "") -> int:
    """Write what `fill_costs` holds into `external_trades_raw`, and empty it; how many fills.

    Nothing may be inserted meanwhile. Ended at any moment and called again, it comes to the same.
    Raises what the store raises.
    """
    after, fills = _NO_ID, 0
    while (found := await _next(store, after, slice_fills))[1]:
        last, count = found
        await store.command(_FOLD, parameters={"after": after, "last": last})
        after, fills = last, fills + count
    if fills:
        await store.command(f"TRUNCATE TABLE fill_costs {on_cluster}")
        log.info("fill_costs.folded", fills=fills)
    return fills


async def _next(store: client.Store, after: str, slice_fills: int) -> tuple[str, int]:
    (row,) = await store.rows(_NEXT, parameters={"after": after, "slice": slice_fills})
    return row["last"], int(row["fills"])
