"""Candles: the prices and volumes of a token by minute, made of the stored fills; those of an hour
and of a day the view `trade_candles` makes of them.

An insert marks the markets of its fills (`candle_marks`, by a materialized view), also where the
table holds them already: the marks of a batch whose answer was lost may be lost too. `make_marked`
makes all candles of those markets anew that hold other fills than their candles tell. What is made
twice takes the place of itself, so nothing that comes again, and no kill between two steps, counts
a fill twice.
"""

from __future__ import annotations

import structlog

from polybackfill.store import client, definitions, query_files

log = structlog.get_logger()

# Fills of one statement: each may open a candle, some 250 bytes in memory.
_SLICE_FILLS = 1_000_000

# Second and id of a fill as one number, which is quicker to compare than two: among fills of one
# second the id decides which is the first, so that the answer is always the same. The last 32 bits
# of the id have no room: two ids of a second that differ in these alone are beyond all chance.
_ORDER = (
    "bitOr(bitShiftLeft(toUInt128(toUnixTimestamp(trade_timestamp)), 96), "
    "bitShiftRight(toUInt128(external_trade_id), 32))"
)
_MAKE = query_files.read("make_candles").replace("{order}", _ORDER)
_SLICES = query_files.read("slices_of_marked_markets")
_NEWEST = "SELECT max(version) AS version FROM trade_candle_rows"


async def make_marked(
    store: client.Store, *, most_slices: int | None = None, slice_fills: int = _SLICE_FILLS
) -> int:
    """Make the candles of marked markets anew; of how many markets.

    Nothing may be inserted meanwhile. Ended at any moment and called again, it comes to the same.
    `most_slices`: of each server; the rest stays marked. Raises what the store raises.
    """
    made = [await _make_marked(server, most_slices, slice_fills) for server in store.servers]
    return sum(made)


async def _make_marked(store: client.Store, most_slices: int | None, slice_fills: int) -> int:
    await _mark_all_if_none(store)
    (marked,) = await store.rows("SELECT count() AS n FROM candle_marks")
    if not marked["n"]:
        return 0
    slices = await store.rows(_SLICES, parameters={"fills": slice_fills})
    made = slices[:most_slices]
    (newest,) = await store.rows(_NEWEST)
    version = int(newest["version"]) + 1
    for one in made:
        bounds = {"first": one["first"], "last": one["last"], "version": version}
        await store.command(_MAKE, parameters=bounds)
    await _unmark(store, None if len(made) == len(slices) else made[-1]["last"])
    if made:
        log.info("candles.made", slices=len(made), of=len(slices))
    return sum(int(one["markets"]) for one in made)


async def clear(store: client.Store) -> None:
    """Forget all candles, since the fills are gone. Raises what the store raises."""
    on_cluster = definitions.on_cluster(store.address.cluster)
    for server in store.servers:
        for table in ("candle_marks", "trade_candle_rows"):
            await server.command(f"TRUNCATE TABLE {table} {on_cluster}")


async def _mark_all_if_none(store: client.Store) -> None:
    """A store from before there were candles, or one that has lost them: all markets."""
    (none,) = await store.rows(
        "SELECT (SELECT count() FROM trade_candle_rows) = 0 "
        "AND (SELECT count() FROM external_trades_raw) > 0 AS lacks"
    )
    if none["lacks"]:
        await store.command(
            "INSERT INTO candle_marks SELECT DISTINCT condition_id FROM external_trades_raw"
        )


async def _unmark(store: client.Store, last: str | None) -> None:
    """All markets, or those up to `last`."""
    on_cluster = definitions.on_cluster(store.address.cluster)
    if last is None:
        await store.command(f"TRUNCATE TABLE candle_marks {on_cluster}")
        return
    await store.command(
        f"ALTER TABLE candle_marks {on_cluster} DELETE WHERE condition_id <= {{last:String}} "
        "SETTINGS mutations_sync = 2",
        parameters={"last": last},
    )
