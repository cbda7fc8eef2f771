"""The two feeds: which rows a question covers, in what window, and one page of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from polymarket_sandbox import cursors, responses, rows, universe, v2_query

DAY = 86_400
THREE_YEARS = 3 * 365 * DAY  # default and market-anchored window of the feeds
CACHED_SELECTIONS = 512
KINDS_OF_FILTER = (*rows.KINDS, "TIP")


@dataclass(frozen=True)
class Question:
    """One feed question without its page. `user`: -1 for an unknown wallet, None for none;
    `kinds`: type numbers, None for all; `floor` in micro-shares or micro-USD (`cash`)."""

    user: int | None
    conditions: tuple[int, ...] | None
    trades_only: bool
    taker_only: bool = False
    side: int | None = None
    kinds: tuple[int, ...] | None = None
    hide_transfers: bool = False
    floor: int = 0
    cash: bool = False

    @property
    def anchor(self) -> str:
        """ "user", "market" or "bare": decides the window."""
        if self.user is not None:
            return "user"
        return "bare" if self.conditions is None else "market"


@dataclass(frozen=True, repr=False)
class Page:
    """Row numbers in answer order, and the cursor's parameters when more follow."""

    chosen: rows.SmallInts
    limit: int
    offset: int
    next_params: dict[str, object] | None


class Feeds:
    """Feeds of one universe. Selections are kept, so that a walk costs its pages and no more."""

    def __init__(self, world: universe.Universe) -> None:
        self._world = world
        self._kept: OrderedDict[tuple[Question, bool], rows.SmallInts] = OrderedDict()

    def selection(self, question: Question, *, late_visible: bool) -> rows.SmallInts:
        """Ascending row numbers of a question, before its window."""
        key = (question, late_visible)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._select(question, late_visible=late_visible)
            self._kept[key] = kept
            if len(self._kept) > CACHED_SELECTIONS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return kept

    def page(
        self,
        selected: rows.SmallInts,
        *,
        first_ts: int,
        last_ts: int,
        limit: int,
        ascending: bool = False,
        after: tuple[int, int] | None = None,
        offset: int = 0,
    ) -> Page:
        """One page within inclusive seconds, after the last row seen: (timestamp, sequence)."""
        table = self._world.table
        low = int(np.searchsorted(table.ts, first_ts, side="left"))
        high = int(np.searchsorted(table.ts, last_ts, side="right"))
        if after is not None:
            at = int(np.searchsorted(table.seq, after[1], side="left"))
            if ascending:
                known = at < len(table) and int(table.seq[at]) == after[1]
                low = max(low, at + known)
            else:
                high = min(high, at)
        start, stop = np.searchsorted(selected, (low, high), side="left").tolist()
        if ascending:
            chosen = selected[start : min(start + limit, stop)]
        else:
            chosen = selected[max(start, stop - limit) : stop][::-1]
        has_more = stop - start > limit
        following = self._anchor(chosen[-1], limit, offset) if has_more else None
        return Page(chosen, limit, offset, following)

    def _anchor(self, row: np.int32, limit: int, offset: int) -> dict[str, object]:
        table = self._world.table
        return {
            "l": limit,
            "ts": int(table.ts[row]),
            "sq": str(table.seq[row]),
            "d": offset + limit,
        }

    def _select(self, question: Question, *, late_visible: bool) -> rows.SmallInts:
        chosen = self._anchored(question)
        table = self._world.table
        keep = np.ones(len(chosen), dtype=np.bool_)
        if question.trades_only:
            keep &= table.is_trade[chosen]
        if question.taker_only:
            keep &= table.taker[chosen]
        if question.side is not None:
            keep &= table.side[chosen] == question.side
        if question.kinds is not None:
            keep &= np.isin(table.kind[chosen], question.kinds)
        if question.hide_transfers:
            hidden = (rows.KIND["DEPOSIT"], rows.KIND["WITHDRAWAL"])
            keep &= ~np.isin(table.kind[chosen], hidden)
        if question.floor > rows.DUST_MICRO or question.cash:
            micro = table.micro[chosen]
            worth = micro * table.price[chosen] if question.cash else micro
            keep &= worth >= question.floor
        if not late_visible:
            keep &= ~table.late[chosen]
        return chosen if keep.all() else chosen[keep]

    def _anchored(self, question: Question) -> rows.SmallInts:
        world = self._world
        if question.user is not None:
            unknown = question.user < 0
            chosen = rows.nothing() if unknown else world.by_wallet.rows_of(question.user)
            if question.conditions is not None:
                chosen = chosen[np.isin(world.table.condition[chosen], question.conditions)]
            return chosen
        if question.conditions is None:
            bare: rows.SmallInts = np.sort(world.by_condition.order)
            return bare
        lists = [world.by_condition.rows_of(condition) for condition in question.conditions]
        if len(lists) == 1:
            return lists[0]
        merged: rows.SmallInts = np.sort(np.concatenate(lists)) if lists else rows.nothing()
        return merged


def conditions_of(query: v2_query.V2Query, world: universe.Universe) -> tuple[int, ...] | None:
    """Condition numbers of the selectors, unknown ids left out; None when nothing was selected."""
    conditions, events = query.selectors()
    if conditions:
        known = world.condition_number
        return tuple(known[condition] for condition in conditions if condition in known)
    if events:
        found = world.conditions_of_event
        return tuple(sorted({c for event in events for c in found.get(event, ())}))
    return None


def user_of(query: v2_query.V2Query, world: universe.Universe) -> int | None:
    """The wallet's number; -1 for a wallet nobody knows. Raises ApiError for a contract."""
    wallet = query.wallet()
    if wallet is None:
        return None
    number = world.wallet_number.get(wallet, -1)
    if number in world.contracts:
        raise responses.refused(
            f"user: '{wallet}' is a protocol contract, not a user wallet", parameter="user"
        )
    return number


def window(anchor: str, query: v2_query.V2Query, now: int) -> tuple[int, int]:
    """Inclusive seconds by shape of the question; only user-anchored ones choose theirs."""
    start, end = query.seconds("start"), query.seconds("end")
    if anchor == "user":
        return start or now - THREE_YEARS, end or now + DAY
    if anchor == "market":
        return now - THREE_YEARS, now + DAY
    return _previous_month(now), now + DAY


def _previous_month(now: int) -> int:
    """First second of the previous calendar month."""
    first_of_this = np.datetime64(now, "s").astype("datetime64[M]")
    return int((first_of_this - 1).astype("datetime64[s]").astype(np.int64))


def resume(params: cursors.Params) -> tuple[tuple[int, int], int, int]:
    """Anchor, page size and display offset of a feed cursor."""
    anchor = (cursors.number(params, "ts"), cursors.number(params, "sq"))
    return anchor, cursors.number(params, "l"), cursors.number(params, "d")
