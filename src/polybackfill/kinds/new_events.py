"""Gamma's events that were made lately, the newest first: what a run follows."""

from __future__ import annotations

from polybackfill.kinds import events, key_source, new_markets, proof
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, gamma

KIND = unit_kind.Kind(
    name="new-events",
    route=endpoints.EVENTS,
    walk=unit_kind.by_keys(gamma.walk_new_events),
    keys=key_source.TimeWindows(every_s=new_markets.choose_every_s),
    tables=(events.TABLE,),
    estimate=new_markets.estimate_new,
    proof=proof.TimeSpan(),
)
