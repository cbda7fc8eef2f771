"""The feed of all trades, newest first, window by window: what a run follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from polybackfill import settings
from polybackfill.kinds import conditions, key_source, proof, size
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, pagination, time_window, trade_feed
from polybackfill.store import backlog_counts, client, query_files

_LOST_UNITS = query_files.read("lost_windows")


def walk_unit(
    keys: tuple[str, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """All fills of one window (`time_window.parse` of the one key)."""
    (key,) = keys
    window = time_window.parse(key)
    query = trade_feed.build_recent_query(window.since, window.until)
    return trade_feed.pages(query, resume, context)


def find_reach(now: float) -> int:
    """The first second that the feed shows: that of the previous calendar month (API reference of
    the Data API, 2026-11).
    """
    today = datetime.fromtimestamp(now, UTC)
    months = today.year * 12 + today.month - 2
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp())


def _window_s(backfill: settings.BackfillSettings) -> float:
    return backfill.follow_window_s


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    """What will be traded nobody knows."""
    del store, ahead
    return size.Size(units=1, requests=1, rows=None, row_bytes=0)


KIND = unit_kind.Kind(
    name="recent-trades",
    route=endpoints.TRADES,
    walk=unit_kind.by_keys(walk_unit),
    keys=key_source.TimeWindows(every_s=_window_s, reach=find_reach),
    tables=(conditions.TRADES,),
    estimate=_estimate,
    proof=proof.TimeSpan(lost_units=_LOST_UNITS),
)
