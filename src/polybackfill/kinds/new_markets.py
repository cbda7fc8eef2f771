"""Gamma's markets that were made lately, the newest first: what a run follows."""

from __future__ import annotations

from polybackfill import settings
from polybackfill.kinds import key_source, markets, proof, size
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, gamma
from polybackfill.store import backlog_counts, client

_EVERY_S = 20.0  # so that a new one is stored within a minute


def choose_every_s(backfill: settings.BackfillSettings) -> float:
    """Seconds from one look at what is new in a list of Gamma's to the next."""
    return max(_EVERY_S, backfill.follow_window_s)


async def estimate_new(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    """What will be new in a list nobody knows."""
    del store, ahead
    return size.Size(units=1, requests=1, rows=None, row_bytes=0)


KIND = unit_kind.Kind(
    name="new-markets",
    route=endpoints.MARKETS,
    walk=unit_kind.by_keys(gamma.walk_new_markets),
    keys=key_source.TimeWindows(every_s=choose_every_s),
    tables=(markets.TABLE,),
    estimate=estimate_new,
    proof=proof.TimeSpan(),
)
