"""Gamma: keyset lists, legacy lists with their sunset headers, single reads, tags."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

import orjson

from polybackfill.sandbox import catalog, replies

MAX_LIMIT = 100  # silently clamped since 2026-05-14
DEFAULT_LIMIT = 20
# More ids than this in one request drew a Cloudflare 403 (one observation).
MAX_IDS = 50

SUNSET_HEADERS: Mapping[str, str] = {
    "Deprecation": "true",
    "Sunset": "Fri, 01 May 2026 00:00:00 GMT",
    "Cache-Control": "public, max-age=300",
    "cf-cache-status": "HIT",
    "Age": "17",
}

Item = TypeVar("Item", catalog.Market, catalog.Event)
Key = float | str

_MARKET_ORDERS: Mapping[str, Callable[[catalog.Market], Key]] = {
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
_EVENT_ORDERS: Mapping[str, Callable[[catalog.Event], Key]] = {
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
_ID_FILTERS = ("id", "slug", "condition_ids", "clob_token_ids", "position_ids", "question_ids")


class Asked:
    """A Gamma query string: repeated keys are lists, bracket forms and unknown names ignored."""

    def __init__(self, raw: str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parse_qsl(raw):
            self._values.setdefault(name, []).append(value)

    def many(self, name: str) -> list[str]:
        """All values of a key."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """The last value of a key."""
        values = self._values.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool | None:
        """true or false, None when absent. Raises ApiError (422) for anything else."""
        value = self.one(name)
        if value is None:
            return None
        if value.lower() not in {"true", "false"}:
            raise replies.gamma_refused(f"{name} must be a boolean")
        return value.lower() == "true"

    def count(self, name: str, default: int) -> int:
        """A number that is not negative. Raises ApiError (422)."""
        value = self.one(name)
        if value is None:
            return default
        if not value.isdecimal():
            raise replies.gamma_refused(f"{name} must be a non-negative integer")
        return int(value)

    def amount(self, name: str) -> float | None:
        """A number. Raises ApiError (422)."""
        value = self.one(name)
        try:
            return None if value is None else float(value)
        except ValueError as wrong:
            raise replies.gamma_refused(f"{name} must be a number") from wrong

    def moment(self, name: str) -> float | None:
        """Epoch seconds of a date or timestamp. Raises ApiError (422)."""
        value = self.one(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value.replace(" ", "+").replace("Z", "+00:00"))
        except ValueError as wrong:
            raise replies.gamma_refused(f"{name} must be a date") from wrong
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def limit(self) -> int:
        """Rows a page, clamped without a word."""
        return min(max(self.count("limit", DEFAULT_LIMIT), 1), MAX_LIMIT)

    def fingerprint(self) -> str:
        """The question without its page, to keep its result."""
        paging = {"limit", "offset", "after_cursor", "cursor", "include_tag"}
        held = sorted((name, values) for name, values in self._values.items() if name not in paging)
        return repr(held)


@dataclass
class _Shelf(Generic[Item]):
    """The items of one list, and the results of recent questions."""

    items: Sequence[Item]
    orders: Mapping[str, Callable[[Item], Key]]
    accepts: Callable[[Item, Asked], bool]
    kept: dict[str, list[Item]]

    def matching(self, asked: Asked) -> list[Item]:
        """All items that fit, in the order asked for; ties by id."""
        question = asked.fingerprint()
        found = self.kept.get(question)
        if found is None:
            found = [item for item in self.items if self.accepts(item, asked)]
            self._sort(found, asked)
            self.kept[question] = found
            if len(self.kept) > 256:
                self.kept.pop(next(iter(self.kept)))
        return found

    def _sort(self, found: list[Item], asked: Asked) -> None:
        names = (asked.one("order") or "id").split(",")
        falling = asked.flag("ascending") is False and asked.one("order") is not None
        found.sort(key=lambda item: item.id)
        for name in reversed(names):
            key = self.orders.get(name.strip())
            if key is None:
                raise replies.gamma_refused(f"order fields are not valid: {name}")
            found.sort(key=key, reverse=falling)


class Gamma:
    """Answers of one catalog. `offset_cap`: the largest offset a legacy list takes."""

    def __init__(self, lists: catalog.Catalog, offset_cap: int) -> None:
        self._lists = lists
        self._offset_cap = offset_cap
        listed = [market for market in lists.markets if market.listed]
        self._markets = _Shelf(listed, _MARKET_ORDERS, _accepts_market, {})
        self._events = _Shelf(lists.events, _EVENT_ORDERS, _accepts_event, {})

    def markets_keyset(self, _argument: str, raw: str) -> replies.Reply:
        """GET /markets/keyset."""
        asked = Asked(raw)
        page, cursor = _keyset_page(self._markets, asked)
        include_tags = bool(asked.flag("include_tag"))
        shown = b",".join(self.market_json(market, include_tags=include_tags) for market in page)
        return replies.Reply(b'{"markets":[' + shown + b"]" + cursor + b"}")

    def events_keyset(self, _argument: str, raw: str) -> replies.Reply:
        """GET /events/keyset."""
        asked = Asked(raw)
        page, cursor = _keyset_page(self._events, asked)
        shown = b",".join(self.event_json(event) for event in page)
        return replies.Reply(b'{"events":[' + shown + b"]" + cursor + b"}")

    def markets_legacy(self, _argument: str, raw: str) -> replies.Reply:
        """GET /markets: bare array by offset, past its sunset."""
        asked = Asked(raw)
        include_tags = bool(asked.flag("include_tag"))
        page = self._legacy_page(self._markets, asked)
        shown = b",".join(self.market_json(market, include_tags=include_tags) for market in page)
        return _sunset(shown, "/markets/keyset")

    def events_legacy(self, _argument: str, raw: str) -> replies.Reply:
        """GET /events: bare array by offset, past its sunset."""
        shown = b",".join(
            self.event_json(event) for event in self._legacy_page(self._events, Asked(raw))
        )
        return _sunset(shown, "/events/keyset")

    def market(self, argument: str, raw: str) -> replies.Reply:
        """GET /markets/{id}, /markets/slug/{slug}, /markets/{id}/tags; unlisted ones included."""
        kind, _, slug = argument.partition("/")
        if kind == "slug":
            market = self._lists.market_by_slug.get(slug)
        else:
            market = self._lists.market_by_id.get(int(kind)) if kind.isdecimal() else None
        if market is None:
            return _missing()
        if slug == "tags" and kind != "slug":
            return replies.as_json(self._tags(market.tags))
        include_tags = bool(Asked(raw).flag("include_tag"))
        return replies.Reply(self.market_json(market, include_tags=include_tags))

    def event(self, argument: str, _raw: str) -> replies.Reply:
        """GET /events/{id}, /events/slug/{slug}, /events/{id}/tags."""
        kind, _, slug = argument.partition("/")
        if kind == "slug":
            event = self._lists.event_by_slug.get(slug)
        else:
            event = self._lists.event_by_id.get(int(kind)) if kind.isdecimal() else None
        if event is None:
            return _missing()
        if slug == "tags" and kind != "slug":
            return replies.as_json(self._tags(event.tags))
        return replies.Reply(self.event_json(event))

    def tags(self, _argument: str, raw: str) -> replies.Reply:
        """GET /tags: bare array by offset."""
        asked = Asked(raw)
        offset, limit = asked.count("offset", 0), asked.limit()
        page = self._lists.tags[offset : offset + limit]
        return replies.as_json([tag.body for tag in page])

    def market_json(self, market: catalog.Market, *, include_tags: bool) -> bytes:
        """The market as listed: with its events, and with tags when asked."""
        body = dict(market.body)
        if market.event_ids is not None:
            body["events"] = [self._stub(number) for number in market.event_ids]
        elif market.id % 2:
            body["events"] = None
        if include_tags:
            body["tags"] = self._tags(market.tags)
        return orjson.dumps(body)

    def event_json(self, event: catalog.Event) -> bytes:
        """The event with its markets (without their own events), tags and series."""
        by_id = self._lists.market_by_id
        body = dict(event.body)
        body["markets"] = [by_id[n].body for n in event.market_ids if by_id[n].listed]
        if event.series is not None:
            body["series"] = list(event.series)
        elif event.id % 3 == 0:
            body["series"] = None
        body["tags"] = self._tags(event.tags)
        return orjson.dumps(body)

    def _stub(self, number: int) -> catalog.Json:
        event = self._lists.event_by_id[number]
        return {
            "id": str(event.id),
            "ticker": event.slug,
            "slug": event.slug,
            "title": event.title,
            "closed": event.closed,
        }

    def _tags(self, numbers: Sequence[int]) -> list[catalog.Json]:
        return [self._lists.tag_by_id[number].body for number in numbers]

    def _legacy_page(self, shelf: _Shelf[Item], asked: Asked) -> list[Item]:
        offset = asked.count("offset", 0)
        if offset > self._offset_cap:
            raise replies.gamma_refused(f"offset must not exceed {self._offset_cap}")
        _check_batch(asked)
        return shelf.matching(asked)[offset : offset + asked.limit()]


def _keyset_page(shelf: _Shelf[Item], asked: Asked) -> tuple[list[Item], bytes]:
    """One page and the text of its `next_cursor` member: absent on a page that is not full."""
    if asked.one("offset") is not None:
        raise replies.gamma_refused("offset is not allowed on keyset endpoints")
    _check_batch(asked)
    found, limit = shelf.matching(asked), asked.limit()
    start, cursor = 0, asked.one("after_cursor")
    if cursor is not None:
        last = _opened(cursor)
        places = (place for place, item in enumerate(found) if item.id == last)
        start = next(places, len(found) - 1) + 1
    page = found[start : start + limit]
    if len(page) < limit:
        return page, b""
    return page, b',"next_cursor":' + orjson.dumps(_sealed(page[-1].id))


def _sealed(last_id: int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"id": last_id})).rstrip(b"=").decode()


def _opened(cursor: str) -> int:
    try:
        return int(orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))["id"])
    except (binascii.Error, ValueError, KeyError, TypeError) as damage:
        raise replies.gamma_refused("invalid after_cursor") from damage


def _check_batch(asked: Asked) -> None:
    if any(len(asked.many(name)) > MAX_IDS for name in _ID_FILTERS):
        page = replies.html(403, "Attention Required! | Cloudflare", "you have been blocked")
        raise replies.ApiError(page)


def _accepts_market(market: catalog.Market, asked: Asked) -> bool:
    if market.closed is not bool(asked.flag("closed")):
        return False
    if market.version not in (asked.many("version") or ["v1"]):
        return False
    listed = (
        ("id", {str(market.id)}),
        ("slug", {market.slug}),
        ("condition_ids", {market.condition_id}),
        ("question_ids", {market.question_id}),
        ("clob_token_ids", set(market.tokens) if market.version == "v1" else set()),
        ("position_ids", set(market.tokens) if market.version == "v2" else set()),
        ("tag_id", {str(tag) for tag in market.tags}),
        ("uma_resolution_status", {market.uma_status}),
    )
    if not _fits_ids(listed, asked):
        return False
    ranges = (
        ("volume_num", market.volume, asked.amount),
        ("liquidity_num", market.liquidity, asked.amount),
        ("start_date", market.start, asked.moment),
        ("end_date", market.end, asked.moment),
    )
    return _fits_ranges(ranges)


def _accepts_event(event: catalog.Event, asked: Asked) -> bool:
    if event.closed is not bool(asked.flag("closed")):
        return False
    if event.version not in (asked.many("version") or ["v1"]):
        return False
    listed = (
        ("id", {str(event.id)}),
        ("slug", {event.slug}),
        ("tag_id", {str(tag) for tag in event.tags}),
        ("series_id", {str(series["id"]) for series in event.series or ()}),
    )
    if not _fits_ids(listed, asked):
        return False
    ranges = (
        ("volume", event.volume, asked.amount),
        ("liquidity", event.liquidity, asked.amount),
        ("start_date", event.start, asked.moment),
        ("end_date", event.end, asked.moment),
    )
    return _fits_ranges(ranges)


def _fits_ids(listed: Sequence[tuple[str, set[str]]], asked: Asked) -> bool:
    for name, own in listed:
        wanted = asked.many(name)
        if wanted and own.isdisjoint(wanted):
            return False
    return True


def _fits_ranges(
    ranges: Sequence[tuple[str, float, Callable[[str], float | None]]],
) -> bool:
    """Whether each value lies within its `_min` and `_max`; an absent date (0) fits no bound."""
    for name, value, read in ranges:
        low, high = read(f"{name}_min"), read(f"{name}_max")
        if low is None and high is None:
            continue
        if name.endswith("date") and not value:
            return False
        if (low is not None and value < low) or (high is not None and value > high):
            return False
    return True


def _sunset(shown: bytes, instead: str) -> replies.Reply:
    headers = {**SUNSET_HEADERS, "Warning": f'299 - "use {instead}"'}
    return replies.Reply(b"[" + shown + b"]", headers=headers)


def _missing() -> replies.Reply:
    return replies.as_json({"type": "not found error", "error": "id not found"}, status=404)
