"""The order book's list of markets, read by offsets."""

from __future__ import annotations

from polybackfill.kinds import key_source, markets, proof, size
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import clob, endpoints, pagination
from polybackfill.store import backlog_counts, client

_PART_PAGES = 20


async def _name_parts(context: pagination.RequestContext, began: float) -> list[str]:
    """Parts of 20 pages, the last one open for what is added."""
    del began
    rows = await clob.size(context)
    firsts = range(0, max(1, rows), _PART_PAGES * clob.PAGE_ROWS)
    ends = [*firsts[1:], None]
    return [clob.key(first, end) for first, end in zip(firsts, ends, strict=True)]


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    pages = size.count_pages(ahead.markets)
    return size.Size(pages, pages, ahead.markets, size.MARKET_BYTES)


KIND = unit_kind.Kind(
    name="clob",
    route=endpoints.CLOB_MARKETS,
    walk=unit_kind.by_keys(clob.walk_unit),
    keys=key_source.WholeList(_name_parts),
    tables=(markets.TABLE,),
    estimate=_estimate,
    proof=proof.NewestSweep(),
)
