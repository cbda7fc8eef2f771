"""An index of a Gamma list: which items match a query, in what order, and one page of them.

Dates, volumes and states stand in columns, and ids in mappings, so that a list of a million markets
answers a window of days in milliseconds. Results are kept until the catalog changes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import orjson

from polymarket_sandbox import catalog, gamma_query, responses, rows

KEPT_RESULTS = 32
# More ids than this in one request drew a Cloudflare 403 (one observation).
MAX_IDS = 50

Item = TypeVar("Item", catalog.Market, catalog.Event)
Key = float | str

MARKET_ORDERS: Mapping[str, Callable[[catalog.Market], Key]] = {
    "id": lambda market: market.id,
    "volumeNum": lambda market: market.volume,
    "volume": lambda market: f"{market.volume}",  # a text column: sorts as text
    "volume24hr": lambda market: market.volume * 0.01,
    "liquidityNum": lambda market: market.liquidity,
    "liquidity": lambda market: market.liquidity,
    "startDate": lambda market: market.start,
    "endDate": lambda market: market.end,
    "closedTime": lambda market: market.closed_at,
    "createdAt": lambda market: market.created,
    "updatedAt": lambda market: market.closed_at or market.start,
    "slug": lambda market: market.slug,
}
EVENT_ORDERS: Mapping[str, Callable[[catalog.Event], Key]] = {
    "id": lambda event: event.id,
    "volume": lambda event: event.volume,
    "volume24hr": lambda event: event.volume * 0.01,
    "liquidity": lambda event: event.liquidity,
    "startDate": lambda event: event.start,
    "endDate": lambda event: event.end,
    "closedTime": lambda event: event.closed_at,
    "createdAt": lambda event: event.created,
    "updatedAt": lambda event: event.closed_at or event.start,
    "slug": lambda event: event.slug,
}

ID_FILTERS = ("id", "slug", "condition_ids", "clob_token_ids", "position_ids", "question_ids")
_RANGES = ("volume", "liquidity", "start_date", "end_date")


@dataclass(frozen=True)
class ListKind(Generic[Item]):
    """What differs between markets and events. `items`: the catalog's own list; `names`: mappings
    from the value of an id filter to a position; `fits`: the filters that no column answers,
    `fit_names` their names; `amounts`: names of the filters on volume and liquidity."""

    items: Sequence[Item]
    listed: Callable[[Item], bool]
    orders: Mapping[str, Callable[[Item], Key]]
    names: Mapping[str, Callable[[str], int | None]]
    fits: Callable[[Item, gamma_query.GammaQuery], bool]
    fit_names: Sequence[str]
    amounts: tuple[str, str]


class ListIndex(Generic[Item]):
    """One list of one catalog."""

    def __init__(self, lists: catalog.Catalog, kind: ListKind[Item]) -> None:
        self._lists = lists
        self._kind: ListKind[Item] = kind
        self._kept: dict[str, rows.SmallInts] = {}
        self._read_columns()

    def page(self, query: gamma_query.GammaQuery, offset: int, limit: int) -> list[Item]:
        """Items by offset, as the legacy lists do it."""
        found = self._matching(query)[offset : offset + limit]
        return [self._kind.items[place] for place in found.tolist()]

    def keyset_page(self, query: gamma_query.GammaQuery) -> tuple[list[Item], bytes]:
        """One page and the text of its `next_cursor` member: absent on a page that is not full."""
        if query.one("offset") is not None:
            raise responses.gamma_refused("offset is not allowed on keyset endpoints")
        found, limit = self._matching(query), query.limit()
        cursor = query.one("after_cursor")
        start = 0 if cursor is None else self._following(found, decode_cursor(cursor), query)
        page = [self._kind.items[place] for place in found[start : start + limit].tolist()]
        if len(page) < limit:
            return page, b""
        return page, b',"next_cursor":' + orjson.dumps(encode_cursor(page[-1].id))

    def _following(self, found: rows.SmallInts, last_id: int, query: gamma_query.GammaQuery) -> int:
        """Where the items after the one with this id begin; it may have left the list since."""
        last = self._kind.names["id"](str(last_id))
        if last is None:
            raise responses.gamma_refused("invalid after_cursor")
        place = np.flatnonzero(found == last)
        if len(place):
            return int(place[0]) + 1
        return self._ordered([*found.tolist(), last], query).index(last)

    def _matching(self, query: gamma_query.GammaQuery) -> rows.SmallInts:
        """Positions of all items that fit, in the order asked for; ties by id."""
        _check_batch(query)
        if self._version != self._lists.version:
            self._read_columns()
        question = query.fingerprint()
        found = self._kept.get(question)
        if found is None:
            found = np.array(self._ordered(self._chosen(query), query), dtype=np.int32)
            self._kept[question] = found
            if len(self._kept) > KEPT_RESULTS:
                self._kept.pop(next(iter(self._kept)))
        return found

    def _read_columns(self) -> None:
        items = self._kind.items
        self._closed = np.array([item.closed for item in items], dtype=np.bool_)
        self._listed = np.array([self._kind.listed(item) for item in items], dtype=np.bool_)
        self._is_v2 = np.array([item.version == "v2" for item in items], dtype=np.bool_)
        self._columns = {
            "volume": np.array([item.volume for item in items], dtype=np.float64),
            "liquidity": np.array([item.liquidity for item in items], dtype=np.float64),
            "start_date": np.array([item.start for item in items], dtype=np.float64),
            "end_date": np.array([item.end for item in items], dtype=np.float64),
        }
        self._kept.clear()
        self._version = self._lists.version

    def _chosen(self, query: gamma_query.GammaQuery) -> list[int]:
        versions = query.many("version") or ["v1"]
        keep = self._listed & (self._closed == bool(query.flag("closed")))
        keep &= np.where(self._is_v2, "v2" in versions, "v1" in versions)
        for column, name in zip(
            _RANGES, (*self._kind.amounts, "start_date", "end_date"), strict=True
        ):
            keep &= self._within(column, name, query)
        chosen: list[int] = np.flatnonzero(keep).tolist()
        for name, place_of in self._kind.names.items():
            wanted = query.many(name)
            if wanted:
                named = {place_of(value) for value in wanted}
                chosen = [place for place in chosen if place in named]
        if any(query.one(name) is not None for name in self._kind.fit_names):
            items = self._kind.items
            chosen = [place for place in chosen if self._kind.fits(items[place], query)]
        return chosen

    def _within(self, column: str, name: str, query: gamma_query.GammaQuery) -> rows.Flags:
        """Whether each value lies within `_min` and `_max`; an absent date (0) fits no bound."""
        is_date = name.endswith("date")
        read = query.moment if is_date else query.amount
        low, high = read(f"{name}_min"), read(f"{name}_max")
        values = self._columns[column]
        flags = np.ones(len(values), dtype=np.bool_)
        if low is not None:
            flags &= values >= low
        if high is not None:
            flags &= values <= high
        if is_date and (low is not None or high is not None):
            flags &= values > 0
        return flags

    def _ordered(self, places: list[int], query: gamma_query.GammaQuery) -> list[int]:
        order = query.one("order")
        names = (order or "id").split(",")
        falling = query.flag("ascending") is False and order is not None
        ordered, items = sorted(places), self._kind.items  # by position is by id
        for name in reversed(names):
            key = self._kind.orders.get(name.strip())
            if key is None:
                raise responses.gamma_refused(f"order fields are not valid: {name}")
            if name != "id" or falling:
                values = {place: key(items[place]) for place in ordered}
                ordered.sort(key=values.__getitem__, reverse=falling)
        return ordered


def encode_cursor(last_id: int) -> str:
    """The cursor after an item."""
    return base64.urlsafe_b64encode(orjson.dumps({"id": last_id})).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> int:
    """The item of a cursor. Raises ApiError (422)."""
    try:
        return int(orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))["id"])
    except (binascii.Error, ValueError, KeyError, TypeError) as damage:
        raise responses.gamma_refused("invalid after_cursor") from damage


def _check_batch(query: gamma_query.GammaQuery) -> None:
    if any(len(query.many(name)) > MAX_IDS for name in ID_FILTERS):
        page = responses.html(403, "Attention Required! | Cloudflare", "you have been blocked")
        raise responses.ApiError(page)
