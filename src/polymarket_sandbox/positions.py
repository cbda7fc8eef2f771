"""Data API v2, /v2/positions: what the activity of a wallet leaves it with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property

import numpy as np

from polymarket_sandbox import (
    catalog,
    cursors,
    feeds,
    moves,
    portfolio,
    responses,
    rows,
    universe,
    v2_query,
)

STATUSES = ("OPEN", "REDEEMABLE", "REDEEMABLE_LOST", "MERGEABLE", "CLOSED")
SORTS = (
    "CURRENT_VALUE",
    "PRICE",
    "TOKENS",
    "UNREALIZED_PNL",
    "REALIZED_PNL",
    "TOTAL_PNL",
    "TIMESTAMP",
)
_USER_ONLY = ("REDEEMABLE_LOST", "MERGEABLE")
_DEFAULT_SORT = {"MERGEABLE": "TOKENS", "CLOSED": "REALIZED_PNL"}
_TITLE_LENGTH = 200
NO_OUTCOME = 999  # a token whose market the lists do not know
SHOWN_DECIMALS = 4
_WALLET_LENGTH = 42


@dataclass(frozen=True)
class _Place:
    """A walk's question and where it stands. `anchor`: the wallet or the condition; `after`:
    sort key, token number and wallet number of the last row seen."""

    anchor: str
    status: str
    sort: str
    direction: str
    limit: int
    offset: int = 0
    after: tuple[float, int, int] | None = None


class Positions:
    """The route; `book` is made on first use, a second for a million rows. `transferred`: wallets
    whose positions were moved on request."""

    def __init__(self, world: universe.Universe, seed: int) -> None:
        self._world = world
        self._signer = cursors.Signer(seed)
        self.transferred: set[int] = set()

    def answer(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/positions."""
        user = feeds.user_of(query, self._world)
        conditions = feeds.conditions_of(query, self._world)
        _check_anchor(query, user)
        place = self._place(query)
        chosen = self._selected(query, user, conditions, place.status)
        ordered = self._ordered(chosen, place)
        start = 0 if place.after is None else self._following(ordered, place)
        page = ordered[start : start + place.limit]
        has_more = start + place.limit < len(ordered)
        pagination = {
            "limit": place.limit,
            "offset": place.offset,
            "has_more": has_more,
            "next_cursor": self._cursor(page, place) if has_more else None,
        }
        listed = self._rows(page, place.status)
        return responses.as_json({"data": listed, "pagination": pagination})

    def count(self, is_wallet: rows.Flags) -> dict[str, int]:
        """Positions by status of the wallets flagged by number."""
        book = self.book
        visible = ~book.hidden & ~book.archived & is_wallet[book.wallet]
        open_now = visible & (book.size >= portfolio.DUST_SHARES)
        return {
            "open": int(np.count_nonzero(open_now)),
            "closed": int(np.count_nonzero(visible & (book.size == 0))),
        }

    def lines(self, is_wallet: rows.Flags) -> Iterator[str]:
        """One line per position shown of these wallets, however small: the truth's digest."""
        book, tables = self.book, self._world.tables
        is_closed = book.size == 0
        shown = ~book.hidden & ~(is_closed & book.archived) & is_wallet[book.wallet]
        listed = [market is not None for market in self._markets]
        for entry in np.flatnonzero(shown).tolist():
            token = int(book.token[entry])
            condition = int(tables.token_condition[token])
            outcome = int(tables.token_outcome[token]) if listed[condition] else NO_OUTCOME
            wallet = tables.wallets[int(book.wallet[entry])][2:]
            ids = f"{wallet}|{tables.conditions[condition][2:]}|{outcome}|{tables.tokens[token]}"
            micro = round(round(float(book.size[entry]), SHOWN_DECIMALS) * 1e6)
            yield f"{ids}|{'CLOSED' if is_closed[entry] else 'OPEN'}|{micro}"

    def differing(self, is_wallet: rows.Flags) -> list[dict[str, str]]:
        """Positions that the feeds do not explain: their shares came or went by a transfer."""
        tables = self._world.tables
        moved = dict.fromkeys((wallet, token) for wallet, token, _, _ in self._world.transfers)
        return [
            {
                "wallet": tables.wallets[wallet],
                "condition_id": tables.conditions[int(tables.token_condition[token])],
                "token_id": tables.tokens[token],
                "reason": "transfer",
            }
            for wallet, token in moved
            if is_wallet[wallet]
        ]

    @cached_property
    def _markets(self) -> list[catalog.Market | None]:
        """By condition number."""
        return [
            self._world.market_of(number) for number in range(len(self._world.tables.conditions))
        ]

    @cached_property
    def book(self) -> portfolio.PositionBook:
        """All positions, from trades, splits, merges, conversions and redemptions."""
        return portfolio.with_recorded(portfolio.build_book(self._world, self.changes), self._world)

    @cached_property
    def changes(self) -> moves.Moves:
        """Every change of a balance; it never changes itself."""
        return moves.all_moves(self._world)

    def _selected(
        self,
        query: v2_query.V2Query,
        user: int | None,
        conditions: tuple[int, ...] | None,
        status: str,
    ) -> rows.Ints:
        """Entries of the book that fit, in its order."""
        book = self.book
        low, high = 0, len(book.wallet)
        if user is not None:
            low, high = np.searchsorted(book.wallet, (user, user + 1)).tolist()
        chosen: rows.Ints = np.arange(low, high)
        if conditions is not None:
            held_in = self._world.tables.token_condition[book.token[chosen]]
            chosen = chosen[np.isin(held_in, conditions)]
        keep = ~book.hidden[chosen] & _status_filter(book, chosen, status, query)
        if not query.flag("include_archived", default=False):
            keep &= ~book.archived[chosen]
        start, end = query.seconds("start"), query.seconds("end")
        if start or end:
            latest = end or np.iinfo(np.int64).max
            keep &= (book.last_at[chosen] >= start) & (book.last_at[chosen] <= latest)
        chosen = chosen[keep]
        title = (query.text("title") or "").strip().lower()
        if title:
            named = [entry for entry in chosen.tolist() if title in self._title(entry)]
            chosen = np.array(named, dtype=np.int64)
        return chosen

    def _title(self, entry: int) -> str:
        market = self._market(entry)
        return market.question.lower() if market else ""

    def _place(self, query: v2_query.V2Query) -> _Place:
        """Where the walk stands: from the cursor if there is one, which refuses other values."""
        status = query.choice("status", STATUSES, None)
        sort = query.choice("sort_by", SORTS, None)
        direction = query.choice("sort_direction", ("ASC", "DESC"), None)
        anchor = query.wallet() or query.conditions()[0]
        cursor = query.text("cursor")
        if cursor is None:
            status = status or "OPEN"
            sort = sort or _DEFAULT_SORT.get(status, "CURRENT_VALUE")
            return _Place(anchor, status, sort, direction or "DESC", query.limit())
        held = self._signer.open("positions", cursor)
        _check_bound(held, {"av": anchor, "st": status, "s": sort, "dir": direction})
        return _Place(
            anchor=anchor,
            status=str(held["st"]),
            sort=str(held["s"]),
            direction=str(held["dir"]),
            limit=cursors.number(held, "l"),
            offset=cursors.number(held, "d"),
            after=(
                float.fromhex(str(held["h"])),
                cursors.number(held, "n"),
                cursors.number(held, "m"),
            ),
        )

    def _ordered(self, chosen: rows.Ints, place: _Place) -> rows.Ints:
        keys = self._keys(chosen, place.sort)
        if place.direction == "DESC":
            keys = -keys
        # Ties by token, then wallet: a keyset needs a total order.
        return chosen[np.lexsort((self.book.wallet[chosen], self.book.token[chosen], keys))]

    def _keys(self, chosen: rows.Ints, sort: str) -> rows.Floats:
        book = self.book
        size, price, average = book.size[chosen], book.price[chosen], book.average[chosen]
        unrealized = size * (price - average)
        columns = {
            "CURRENT_VALUE": size * price,
            "PRICE": price,
            "TOKENS": size,
            "UNREALIZED_PNL": unrealized,
            "REALIZED_PNL": book.realized[chosen],
            "TOTAL_PNL": unrealized + book.realized[chosen],
            "TIMESTAMP": book.last_at[chosen].astype(np.float64),
        }
        return columns[sort]

    def _following(self, ordered: rows.Ints, place: _Place) -> int:
        """How many entries stand before or at the last row seen, wherever that is by now."""
        if place.after is None:
            return 0
        key, token, wallet = place.after
        keys, book = self._keys(ordered, place.sort), self.book
        if place.direction == "DESC":
            keys, key = -keys, -key
        tokens, wallets = book.token[ordered], book.wallet[ordered]
        seen = (keys == key) & ((tokens < token) | ((tokens == token) & (wallets <= wallet)))
        return int(np.count_nonzero((keys < key) | seen))

    def _cursor(self, page: rows.Ints, place: _Place) -> str:
        last, tables = int(page[-1]), self._world.tables
        key = float(self._keys(page[-1:], place.sort)[0])
        params = {
            "l": place.limit,
            "d": place.offset + place.limit,
            "k": f"{key:.16f}",
            "h": key.hex(),
            "t": tables.tokens[int(self.book.token[last])],
            "n": int(self.book.token[last]),
            "m": int(self.book.wallet[last]),
            "a": "u" if len(place.anchor) == _WALLET_LENGTH else "m",
            "av": place.anchor,
            "st": place.status,
            "s": place.sort,
            "dir": place.direction,
        }
        return self._signer.seal("positions", params)

    def _market(self, entry: int) -> catalog.Market | None:
        tables = self._world.tables
        return self._world.market_of(int(tables.token_condition[int(self.book.token[entry])]))

    def _rows(self, page: rows.Ints, status: str) -> list[dict[str, object]]:
        """A page, column by column: row by row it would hold up every other answer."""
        book = self.book
        shown = ["CLOSED"] * len(page)
        if status != "CLOSED":
            settled = book.settled[page].tolist()
            shown = ["REDEEMABLE" if is_settled else "OPEN" for is_settled in settled]
        columns = zip(
            page.tolist(),
            self._money(page),
            shown,
            book.paired[page].tolist(),
            book.archived[page].tolist(),
            book.last_at[page].tolist(),
            book.first_at[page].tolist(),
            strict=True,
        )
        return [
            {
                **self._identity(entry, market := self._market(entry)),
                **money,
                "status": state,
                "redeemable": state == "REDEEMABLE",
                "mergeable": paired and state == "OPEN",
                "negative_risk": bool(market and market.neg_risk),
                "archived": archived,
                "verified": False,
                "last_event_at": last_at,
                "first_entry_at": first_at,
                **self._recorded(entry),
            }
            for entry, money, state, paired, archived, last_at, first_at in columns
        ]

    def _recorded(self, entry: int) -> dict[str, object]:
        """What a recorded row says of a position, {} for one that follows from activity."""
        key = (int(self.book.wallet[entry]), int(self.book.token[entry]))
        return dict(self._world.recorded_positions.get(key, {}))

    def _identity(self, entry: int, market: catalog.Market | None) -> dict[str, object]:
        tables, token = self._world.tables, int(self.book.token[entry])
        number = int(self.book.wallet[entry])
        profile = self._world.profiles[number]
        identity: dict[str, object] = {
            "proxy_wallet": tables.wallets[number],
            "token_id": tables.tokens[token],
            "condition_id": tables.conditions[int(tables.token_condition[token])],
            "name": profile.name,
            "profile_image": profile.profile_image,
        }
        if market is None:
            return {**identity, **_NO_MARKET}
        outcome = int(tables.token_outcome[token])
        opposite = 1 - outcome if len(market.outcomes) == 2 else None
        event = self._world.lists.event_of(market)
        return {
            **identity,
            "title": market.question,
            "slug": market.slug,
            "icon": market.icon,
            "event_id": str(event.id) if event else "",
            "event_slug": event.slug if event else "",
            "outcome": market.outcomes[outcome],
            "outcome_index": outcome,
            "opposite_outcome": "" if opposite is None else market.outcomes[opposite],
            "opposite_token_id": "" if opposite is None else market.tokens[opposite],
            "end_date": _day(market.end // 86_400),
        }

    def _money(self, page: rows.Ints) -> list[dict[str, float]]:
        book = self.book
        size, average, price = book.size[page], book.average[page], book.price[page]
        realized, bought = book.realized[page], book.bought[page]
        cost = size * average
        unrealized = size * (price - average)
        bought_usd = bought * average
        columns = {
            "current_size": size,
            "avg_price": average,
            "entry_cost_usdc": cost,
            "entry_fees_usdc": book.fees[page],
            "total_cost_usdc": cost + book.fees[page],
            "current_price": price,
            "current_value": size * price,
            "total_size": bought,
            "realized_pnl": realized,
            "unrealized_pnl": unrealized,
            "total_pnl": realized + unrealized,
            "percent_pnl": unrealized / np.where(cost == 0, 1.0, cost) * 100,
            "percent_realized_pnl": realized / np.where(bought_usd == 0, 1.0, bought_usd) * 100,
        }
        rounded = [
            [round(value, SHOWN_DECIMALS) for value in column.tolist()]
            for column in columns.values()
        ]
        return [dict(zip(columns, values, strict=True)) for values in zip(*rounded, strict=True)]


@cache
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


_NO_MARKET: dict[str, object] = {
    "title": "",
    "slug": "",
    "icon": "",
    "event_id": "",
    "event_slug": "",
    "outcome": "",
    "outcome_index": NO_OUTCOME,
    "opposite_outcome": "",
    "opposite_token_id": "",
    "end_date": "1970-01-01",
}


def _check_anchor(query: v2_query.V2Query, user: int | None) -> None:
    if user is None and len(query.conditions()) != 1:
        raise responses.refused("provide user, or exactly one condition", parameter="user")
    if user is None and query.text("event_id"):
        raise responses.refused("event_id requires user", parameter="event_id")
    status = query.text("status")
    if user is None and status in _USER_ONLY:
        raise responses.refused(f"status={status} requires user", parameter="status")
    if status == "CLOSED" and query.flag("include_archived", default=False):
        raise responses.refused("include_archived is invalid with status=CLOSED")
    if len(query.text("title") or "") > _TITLE_LENGTH:
        raise responses.refused("title must contain at most 200 characters", parameter="title")


def _check_bound(held: cursors.Params, given: dict[str, str | None]) -> None:
    for name, value in given.items():
        if value is not None and held.get(name) != value:
            raise responses.refused(
                f"cursor is bound to {name}={held.get(name)}", parameter="cursor"
            )


def _status_filter(
    book: portfolio.PositionBook, chosen: rows.Ints, status: str, query: v2_query.V2Query
) -> rows.Flags:
    size = book.size[chosen]
    keep: rows.Flags = size == 0
    if status == "CLOSED":
        return keep
    # Invalid values fall back to the default here, unlike on the feeds.
    cash = query.text("filter_type") == "CASH"
    try:
        floor = float(query.text("filter_amount") or portfolio.DUST_SHARES)
    except ValueError:
        floor = portfolio.DUST_SHARES
    keep = ~keep & ((size * book.price[chosen] if cash else size) >= floor)
    if status == "REDEEMABLE":
        keep &= book.settled[chosen]
    elif status == "REDEEMABLE_LOST":
        keep &= book.settled[chosen] & (book.price[chosen] == 0)
    elif status == "MERGEABLE":
        keep &= book.paired[chosen] & ~book.settled[chosen]
    return keep
