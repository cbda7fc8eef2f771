"""Market ids of trades on their way in: from memory, never by asking anybody in between.

The memory holds the whole dimension, which is every market id applied or listed, at 24 bytes a
market (36 MB for 1.5 million), and is brought up to date beside the inserts. A trade of a condition
it does not know goes in with an empty id: that row is the queue, which a crash cannot lose, and
`market-ids lookup` and `apply`, or `catch_up` at the end of a run, fill it later.
"""

from __future__ import annotations

import array
import bisect
import sys
from collections.abc import Iterable, Sequence

import structlog

from polybackfill import clocks, errors, records
from polybackfill.store import market_ids

log = structlog.get_logger()

REFRESH_S = 30.0  # how often `refresh` should be called
_WHOLE_S = 3600.0  # so often all is read anew, which also forgets what was taken back
_OVERLAP_S = 300  # clocks of this host and of a server differ; lists are stored a little late
_FIELDS = 3  # high, low, market id
_RECENT_MAX = 100_000
_LEARNED_MAX = 50_000  # these take 300 bytes each; more are read with the whole
SOURCE = "api_markets_staging"


class MarketIdCache:
    """Condition → market id. `filled` and `unknown` count trades since the start."""

    def __init__(self, ids: market_ids.MarketIds, *, clock: clocks.Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._table = array.array("Q")
        self._learned: dict[str, str] = {}
        # Feeds repeat few conditions many times; these are looked up in the table once.
        self._recent: dict[str, str] = {}
        self._read_at: float | None = None
        self._read_all_at = 0.0
        self.filled = 0
        self.unknown = 0

    def __len__(self) -> int:
        return len(self._table) // _FIELDS + len(self._learned)

    def fill(self, rows: Iterable[Sequence[records.Row]]) -> None:
        """Give the trades among these rows their market ids, where they lack one."""
        for sequence in rows:
            if sequence and isinstance(sequence[0], records.Trade):
                self._fill(sequence)

    def _fill(self, trades: Sequence[records.Row]) -> None:
        recent, unknown = self._recent, 0
        for trade in trades:
            assert isinstance(trade, records.Trade)  # noqa: S101  (rows of a sequence are of a type)
            if trade.market_id:
                continue
            condition = trade.condition_id
            market_id = recent.get(condition)
            if market_id is None:
                market_id = self._look_up_once(condition)
            trade.market_id = market_id
            unknown += not market_id
        self.unknown += unknown
        self.filled += len(trades) - unknown

    def look_up(self, condition: str) -> str:
        """The market id of a condition (64 hex digits), '' when it is not known."""
        known = self._learned.get(condition)
        if known is not None:
            return known
        high, low = int(condition[:16], 16), int(condition[16:32], 16)
        table = self._table
        at = bisect.bisect_left(
            range(len(table) // _FIELDS), (high, low), key=lambda row: _key(table, row)
        )
        if at * _FIELDS < len(table) and _key(table, at) == (high, low):
            return str(table[at * _FIELDS + 2])
        return ""

    async def refresh(self) -> None:
        """Learn what the store has learned; all of it the first time and then once an hour.

        A store that is out must not hold up the run here: what is missing stays unknown meanwhile.
        """
        now = self._clock.now()
        try:
            # A clock that was set back would hide what has come meanwhile.
            is_old = now - self._read_all_at >= _WHOLE_S
            if self._read_at is None or is_old or now < self._read_at:
                await self._read_all(now)
                return
            since = int(self._read_at) - _OVERLAP_S
            learned = await self._ids.learned(since, most=_LEARNED_MAX)
            if learned is None or len(self._learned) > _LEARNED_MAX:
                await self._read_all(now)
                return
            self._learned.update(learned)
            for condition in learned:
                self._recent.pop(condition, None)
            self._read_at = now
        except (errors.Retry, errors.GiveUp) as error:
            log.warning("market_ids.not_read", error=str(error))

    async def _read_all(self, now: float) -> None:
        table = array.array("Q")
        table.frombytes(await self._ids.dimension())
        if sys.byteorder == "big":
            table.byteswap()
        self._table, self._learned = table, {}
        self._recent.clear()
        self._read_at = self._read_all_at = now

    def _look_up_once(self, condition: str) -> str:
        if len(self._recent) >= _RECENT_MAX:
            self._recent.clear()
        market_id = self._recent[condition] = self.look_up(condition) if condition else ""
        return market_id


async def catch_up(ids: market_ids.MarketIds, *, clock: clocks.Clock) -> market_ids.Apply | None:
    """Apply what the lists know of trades that went in without an id; None when there is nothing.

    A market that two conditions would share is left to `market-ids apply`, which says so.
    """
    holders: dict[str, set[str]] = {}
    async for one in ids.applied():
        holders.setdefault(one.market_id, set()).add(one.condition_id)
    listed = [one async for one in ids.listed_for_missing()]
    for one in listed:
        holders.setdefault(one.market_id, set()).add(one.condition_id)
    mappings = [
        market_ids.Listed(one.condition_id, one.market_id)
        for one in listed
        if one.market_id.isdigit() and len(holders[one.market_id]) == 1
    ]
    return await ids.apply(mappings, source="run", by=SOURCE, now=clock.now())


def _key(table: array.array[int], row: int) -> tuple[int, int]:
    return table[row * _FIELDS], table[row * _FIELDS + 1]
