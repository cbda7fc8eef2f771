"""Gamma: keyset lists, legacy lists with their sunset headers, single reads, tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import orjson

from polymarket_sandbox import catalog, gamma_query, list_index, responses

SUNSET_HEADERS: Mapping[str, str] = {
    "Deprecation": "true",
    "Sunset": "Fri, 01 May 2026 00:00:00 GMT",
    "Cache-Control": "public, max-age=300",
    "cf-cache-status": "HIT",
    "Age": "17",
}


class Gamma:
    """Answers of one catalog. `offset_cap`: the largest offset a legacy list takes."""

    def __init__(self, lists: catalog.Catalog, offset_cap: int) -> None:
        self._lists = lists
        self._offset_cap = offset_cap
        self._markets = list_index.ListIndex(lists, _market_kind(lists))
        self._events = list_index.ListIndex(lists, _event_kind(lists))

    def markets_keyset(self, _argument: str, raw: str) -> responses.Response:
        """GET /markets/keyset."""
        query = gamma_query.GammaQuery(raw)
        page, cursor = self._markets.keyset_page(query)
        include_tags = bool(query.flag("include_tag"))
        shown = b",".join(self.market_json(market, include_tags=include_tags) for market in page)
        return responses.Response(b'{"markets":[' + shown + b"]" + cursor + b"}")

    def events_keyset(self, _argument: str, raw: str) -> responses.Response:
        """GET /events/keyset."""
        query = gamma_query.GammaQuery(raw)
        page, cursor = self._events.keyset_page(query)
        shown = b",".join(self.event_json(event) for event in page)
        return responses.Response(b'{"events":[' + shown + b"]" + cursor + b"}")

    def markets_legacy(self, _argument: str, raw: str) -> responses.Response:
        """GET /markets: bare array by offset, past its sunset."""
        query = gamma_query.GammaQuery(raw)
        include_tags = bool(query.flag("include_tag"))
        page = self._markets.page(query, self._offset(query), query.limit())
        shown = b",".join(self.market_json(market, include_tags=include_tags) for market in page)
        return _sunset(shown, "/markets/keyset")

    def events_legacy(self, _argument: str, raw: str) -> responses.Response:
        """GET /events: bare array by offset, past its sunset."""
        query = gamma_query.GammaQuery(raw)
        page = self._events.page(query, self._offset(query), query.limit())
        shown = b",".join(self.event_json(event) for event in page)
        return _sunset(shown, "/events/keyset")

    def market(self, argument: str, raw: str) -> responses.Response:
        """GET /markets/{id}, /markets/slug/{slug}, /markets/{id}/tags; unlisted ones included."""
        kind, _, slug = argument.partition("/")
        if kind == "slug":
            place = self._lists.index.by_slug.get(slug)
        else:
            place = self._lists.index.by_id.get(_whole(kind))
        if place is None:
            return _missing()
        market = self._lists.markets[place]
        if slug == "tags" and kind != "slug":
            return responses.as_json(self._tags(market.tags))
        include_tags = bool(gamma_query.GammaQuery(raw).flag("include_tag"))
        return responses.Response(self.market_json(market, include_tags=include_tags))

    def event(self, argument: str, _raw: str) -> responses.Response:
        """GET /events/{id}, /events/slug/{slug}, /events/{id}/tags."""
        kind, _, slug = argument.partition("/")
        if kind == "slug":
            place = self._lists.index.event_by_slug.get(slug)
        else:
            place = self._lists.index.event_by_id.get(_whole(kind))
        if place is None:
            return _missing()
        event = self._lists.events[place]
        if slug == "tags" and kind != "slug":
            return responses.as_json(self._tags(event.tags))
        return responses.Response(self.event_json(event))

    def tags(self, _argument: str, raw: str) -> responses.Response:
        """GET /tags: bare array by offset."""
        query = gamma_query.GammaQuery(raw)
        offset, limit = query.count("offset", 0), query.limit()
        page = self._lists.tags[offset : offset + limit]
        return responses.as_json([tag.body for tag in page])

    def market_json(self, market: catalog.Market, *, include_tags: bool) -> bytes:
        """The market as listed: with its events, and with tags when asked."""
        body = dict(self._lists.market_body(market))
        if market.event_ids is not None:
            body["events"] = [self._stub(number) for number in market.event_ids]
        elif market.id % 2:
            body["events"] = None
        if include_tags:
            body["tags"] = self._tags(market.tags)
        return orjson.dumps(body)

    def event_json(self, event: catalog.Event) -> bytes:
        """The event with its markets (without their own events), tags and series."""
        lists = self._lists
        members = [lists.market(number) for number in event.market_ids]
        body = dict(lists.event_body(event))
        body["markets"] = [lists.market_body(market) for market in members if market.listed]
        if event.series is not None:
            body["series"] = list(event.series)
        elif event.id % 3 == 0:
            body["series"] = None
        body["tags"] = self._tags(event.tags)
        return orjson.dumps(body)

    def _stub(self, number: int) -> catalog.Json:
        event = self._lists.event(number)
        return {
            "id": str(event.id),
            "ticker": event.slug,
            "slug": event.slug,
            "title": event.title,
            "closed": event.closed,
        }

    def _tags(self, numbers: Sequence[int]) -> list[catalog.Json]:
        return [self._lists.index.tag_by_id[number].body for number in numbers]

    def _offset(self, query: gamma_query.GammaQuery) -> int:
        """The offset of a legacy list. Raises ApiError (422) above the cap."""
        offset = query.count("offset", 0)
        if offset > self._offset_cap:
            raise responses.gamma_refused(f"offset must not exceed {self._offset_cap}")
        return offset


def _market_kind(lists: catalog.Catalog) -> list_index.ListKind[catalog.Market]:
    @cache
    def by_token(version: str) -> Mapping[str, int]:
        return {
            token: place
            for place, market in enumerate(lists.markets)
            if market.version == version
            for token in market.tokens
        }

    questions = {market.question_id: place for place, market in enumerate(lists.markets)}
    return list_index.ListKind(
        items=lists.markets,
        listed=lambda market: market.listed,
        orders=list_index.MARKET_ORDERS,
        names={
            "id": lambda text: lists.index.by_id.get(_whole(text)),
            "slug": lists.index.by_slug.get,
            "condition_ids": lists.index.by_condition.get,
            "question_ids": questions.get,
            "clob_token_ids": lambda text: by_token("v1").get(text),
            "position_ids": lambda text: by_token("v2").get(text),
        },
        fits=_fits_market,
        fit_names=("tag_id", "uma_resolution_status", "resolution_status"),
        amounts=("volume_num", "liquidity_num"),
    )


def _event_kind(lists: catalog.Catalog) -> list_index.ListKind[catalog.Event]:
    slugs = {tag.slug: tag.id for tag in lists.tags}

    def fits(event: catalog.Event, query: gamma_query.GammaQuery) -> bool:
        wanted = [str(slugs.get(slug)) for slug in query.many("tag_slug")]
        return _fits_event(event, query, wanted)

    return list_index.ListKind(
        items=lists.events,
        listed=lambda _event: True,
        orders=list_index.EVENT_ORDERS,
        names={
            "id": lambda text: lists.index.event_by_id.get(_whole(text)),
            "slug": lists.index.event_by_slug.get,
        },
        fits=fits,
        fit_names=("tag_id", "tag_slug", "exclude_tag_id", "series_id", "title_search"),
        amounts=("volume", "liquidity"),
    )


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _fits_market(market: catalog.Market, query: gamma_query.GammaQuery) -> bool:
    settled = "resolved" if market.payouts else "active"
    status = settled if market.version == "v2" else ""
    return (
        _any(query.many("tag_id"), {str(tag) for tag in market.tags})
        and _any(query.many("uma_resolution_status"), {market.uma_status})
        and _any(query.many("resolution_status"), {status})
    )


def _fits_event(
    event: catalog.Event, query: gamma_query.GammaQuery, tags_by_slug: Sequence[str]
) -> bool:
    tags = {str(tag) for tag in event.tags}
    return (
        _any(query.many("tag_id"), tags)
        and _any(tags_by_slug, tags)
        and tags.isdisjoint(query.many("exclude_tag_id"))
        and _any(query.many("series_id"), {str(series["id"]) for series in event.series or ()})
        and (query.one("title_search") or "").lower() in event.title.lower()
    )


def _any(wanted: Sequence[str], own: set[str]) -> bool:
    return not wanted or not own.isdisjoint(wanted)


def _sunset(shown: bytes, instead: str) -> responses.Response:
    headers = {**SUNSET_HEADERS, "Warning": f'299 - "use {instead}"'}
    return responses.Response(b"[" + shown + b"]", headers=headers)


def _missing() -> responses.Response:
    return responses.as_json({"type": "not found error", "error": "id not found"}, status=404)
