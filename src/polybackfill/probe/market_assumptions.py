"""What the program takes for granted about Gamma's lists of markets and events."""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence

from polybackfill import formats
from polybackfill.kinds import registry
from polybackfill.polymarket import (
    coerce,
    date_range,
    endpoints,
    gamma_queries,
    market_lookup,
    market_parser,
    tokens,
)
from polybackfill.probe import pages, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Evidence, Json, Page, Unseen

LOOKUPS = ("lookups",)
_LISTED_MARKETS = ("markets", registry.find_followed("api_market_rows").name)
_MARKETS = (*_LISTED_MARKETS, *LOOKUPS)
_EVENTS = ("events", registry.find_followed("api_event_rows").name)
_LISTS = (*_LISTED_MARKETS, *_EVENTS)
_SPAN_DATES = 4
_MANY_TOKENS = 5
_Look = Callable[[Evidence, endpoints.Route], Awaitable[str]]


def _id_of(row: Json) -> int:
    return pages.integer_of(row.get("id"), -1)


def _start_of(row: Json) -> int | None:
    return coerce.second(row.get("startDate"))


async def _list(evidence: Evidence, route: endpoints.Route, *, closed: bool) -> Page:
    return await samples.list_page(evidence, samples.list_feed(route, closed=closed))


async def _envelope(evidence: Evidence, route: endpoints.Route) -> str:
    name = "markets" if route == endpoints.MARKETS else "events"
    seen = []
    for closed in (False, True):
        answer = await evidence.first(samples.list_feed(route, closed=closed))
        rows = pages.list_of(answer, name)
        cursor = answer.fields.get("next_cursor")
        is_full = len(rows) >= gamma_queries.PAGE_ROWS
        fits = (isinstance(cursor, str) and cursor != "") if is_full else cursor != ""
        seen.append(
            f"{formats.counted(len(rows), 'row')} {'with' if cursor else 'without'} a cursor"
        )
        pages.require(fits, f"{formats.counted(len(rows), 'row')} with next_cursor {cursor!r}")
    return ", ".join(seen)


async def _fields(evidence: Evidence, route: endpoints.Route) -> str:
    page = await _list(evidence, route, closed=True)
    read = market_parser.gamma_markets if route == endpoints.MARKETS else market_parser.gamma_events
    listed = read(page.rows, page.answer.source)
    return pages.check_usable(len(page.rows), [row.reason for row in listed.rejected])


async def _closed(evidence: Evidence, route: endpoints.Route) -> str:
    seen = []
    for closed in (False, True):
        page = await _list(evidence, route, closed=closed)
        others = sum(row.get("closed", closed) not in {None, closed} for row in page.rows)
        seen.append(f"{len(page.rows)} {'closed' if closed else 'open'}")
        pages.require(not others, f"{others} of {seen[-1]} rows are not")
    pages.require(any(not one.startswith("0 ") for one in seen), "both lists are empty")
    return ", ".join(seen)


async def _order(evidence: Evidence, route: endpoints.Route) -> str:
    page = await _list(evidence, route, closed=True)
    return pages.check_sorted([_id_of(row) for row in page.rows], descending=False)


async def _small(
    evidence: Evidence, route: endpoints.Route
) -> tuple[Page, Page, gamma_queries.GammaQuery]:
    whole = await _list(evidence, route, closed=True)
    feed = samples.sized_list(route, pages.small_size(len(whole.rows)))
    return whole, await samples.list_page(evidence, feed), feed


async def _cursor(evidence: Evidence, route: endpoints.Route) -> str:
    whole, first, feed = await _small(evidence, route)
    await pages.second_page(evidence, feed, first, feed.page_rows)
    second = await samples.list_page(evidence, feed, first.cursor)
    return pages.check_continues(whole, first, second, _id_of)


async def _bad_cursor(evidence: Evidence, route: endpoints.Route) -> str:
    _, first, feed = await _small(evidence, route)
    return await pages.check_bad_cursor(evidence, feed, first.cursor)


async def _page_size(evidence: Evidence, route: endpoints.Route) -> str:
    whole, first, feed = await _small(evidence, route)
    return pages.check_page_size(whole, first, gamma_queries.PAGE_ROWS, feed.page_rows)


async def _dates(evidence: Evidence, route: endpoints.Route) -> str:
    listed = await _list(evidence, route, closed=True)
    starts = sorted(start for start in map(_start_of, listed.rows) if start is not None)
    if len(set(starts)) < _SPAN_DATES:
        raise Unseen(f"fewer than {_SPAN_DATES} different start dates")
    middle = sorted(set(starts))[len(set(starts)) // 2 :][:_SPAN_DATES]
    since, until = middle[0], middle[-1]
    feed = gamma_queries.build_range_query(
        route, date_range.DateRange(closed=True, since=since, until=until)
    )
    answered = await samples.list_page(evidence, feed)
    outside = sum(not gamma_queries.is_within(feed.span, _start_of(row)) for row in answered.rows)
    last = max(map(_id_of, answered.rows), default=0) if answered.cursor else None
    expected = {
        _id_of(row)
        for row in listed.rows
        if since <= (_start_of(row) or 0) <= until and (last is None or _id_of(row) <= last)
    }
    missing = len(expected - set(map(_id_of, answered.rows)))
    seen = f"{formats.counted(len(answered.rows), 'row')}: {missing} missing, {outside} outside"
    return pages.require(not (missing or outside), seen)


async def _undated(evidence: Evidence, route: endpoints.Route) -> str:
    seen = []
    for order in gamma_queries.BOTH_ENDS:
        feed = gamma_queries.build_range_query(route, date_range.DateRange(closed=True), order)
        starts = [_start_of(row) for row in (await samples.list_page(evidence, feed)).rows]
        dated = [start for start in starts if start is not None]
        runs = [
            is_dated for is_dated, _ in itertools.groupby(start is not None for start in starts)
        ]
        descending = order is gamma_queries.Order.LATEST_FIRST
        in_order = dated == sorted(dated, reverse=descending)
        seen.append(f"{order.value} first: {len(dated)} dated, {len(starts) - len(dated)} not")
        pages.require(in_order and len(runs) <= 2, f"{seen[-1]}, not in that order")
    return "; ".join(seen)


async def _versions(evidence: Evidence, route: endpoints.Route) -> str:
    del route
    for closed in (False, True):
        page = await samples.structural_markets(evidence, closed=closed)
        rows = [row for row in page.rows if pages.condition_of(row)]
        odd = sum(row.get("version") == "v1" for row in page.rows)
        pages.require(not odd, f"{odd} of {len(page.rows)} rows are of version 1")
        if rows:
            condition = pages.condition_of(rows[0])
            feed = gamma_queries.build_condition_query([condition], closed=closed)
            both = await samples.list_page(evidence, feed)
            shown = condition in map(pages.condition_of, both.rows)
            return pages.require(shown, f"{len(rows)} of version 2; asked for with both: {shown}")
    raise Unseen("no market of Protocol V2 is listed")


async def _lookup(evidence: Evidence) -> str:
    listed = await samples.closed_conditions(evidence, gamma_queries.MAX_CONDITIONS)
    feed = gamma_queries.build_condition_query(listed, closed=True)
    page = await samples.list_page(evidence, feed)
    answered = {pages.condition_of(row) for row in page.rows} - {""}
    missing, others = len(set(listed) - answered), len(answered - set(listed))
    seen = (
        f"{formats.counted(len(listed), 'id')}, {len(answered)} answered: {missing} "
        f"missing, {others} others"
    )
    return pages.require(not (missing or others), seen)


async def _end(evidence: Evidence) -> str:
    listed = await samples.closed_conditions(evidence, gamma_queries.MAX_CONDITIONS)
    feed = gamma_queries.build_condition_query(listed, closed=True)
    page = await samples.list_page(evidence, feed)
    if len(page.rows) >= gamma_queries.PAGE_ROWS:
        raise Unseen("no list that ends on its first page")
    return pages.require(
        page.cursor is None,
        f"{formats.counted(len(page.rows), 'row')}, next_cursor {page.cursor!r}",
    )


async def _tags(evidence: Evidence, route: endpoints.Route) -> str:
    page = await _list(evidence, route, closed=True)
    if not page.rows:
        raise Unseen("the list is empty")
    tagged = sum(bool(coerce.labels(row.get("tags"))) for row in page.rows)
    return pages.require(
        tagged > 0, f"{tagged} of {formats.counted(len(page.rows), 'row')} have tags"
    )


async def _tokens(evidence: Evidence) -> str:
    page = await samples.list_page(evidence, samples.latest_feed(endpoints.MARKETS, closed=True))
    verdicts = [
        tokens.fit(condition, coerce.tokens(row.get("clobTokenIds")))
        for row in page.rows[: 4 * _MANY_TOKENS]
        if (condition := pages.condition_of(row)) and not samples.is_structural(condition)
    ]
    known = [outcome for outcome in verdicts if outcome is not None][:_MANY_TOKENS]
    if not known:
        raise Unseen("no closed market lists token ids")
    seen = f"{sum(known)} of {len(known)} markets list the tokens of their condition"
    return pages.require(2 * sum(known) > len(known), seen)


async def _slug(evidence: Evidence) -> str:
    page = await samples.list_page(evidence, samples.latest_feed(endpoints.MARKETS, closed=True))
    named = [row for row in page.rows if coerce.text(row.get("slug")) and pages.condition_of(row)]
    if not named:
        raise Unseen("no closed market has a slug")
    slug = urllib.parse.quote(coerce.text(named[0].get("slug")), safe="")
    route = endpoints.MARKET_BY_SLUG.at(slug)
    answer = await evidence.answer(route, market_lookup.SINGLE)
    shown = pages.condition_of(answer.fields) == pages.condition_of(named[0])
    return pages.require(shown, "that market" if shown else "another market, or none")


async def _members(evidence: Evidence, route: endpoints.Route) -> str:
    page = await _list(evidence, route, closed=True)
    members = [market for row in page.rows for market in coerce.objects(row.get("markets"))]
    if not page.rows:
        raise Unseen("the list is empty")
    named = sum(bool(coerce.text(market.get("id"))) for market in members)
    return pages.require(
        named > 0,
        f"{formats.counted(len(members), 'market')} in {formats.counted(len(page.rows), 'event')}",
    )


def _looking_at(route: endpoints.Route, look: _Look) -> Callable[[Evidence], Awaitable[str]]:
    async def check(evidence: Evidence) -> str:
        return await look(evidence, route)

    return check


# What both lists must do alike: name, request, what is expected, what needs it, whether rows may be
# lost without it, and who looks.
_SHARED: tuple[tuple[str, str, str, str, bool, _Look], ...] = (
    (
        "envelope",
        "?closed=false, and true",
        "a list, and a cursor on a page that is full",
        "the proven end of a span of the list",
        True,
        _envelope,
    ),
    (
        "fields",
        "?closed=true",
        "every row has an id, a slug or a condition",
        "every stored row of the list",
        True,
        _fields,
    ),
    (
        "closed",
        "?closed=false, and true",
        "open and closed ones are two lists",
        "reading both lists; a row that moves is seen in one of them",
        True,
        _closed,
    ),
    (
        "order",
        "?order=id&ascending=true",
        "by id, ascending",
        "the one order that never changes while the list is read",
        True,
        _order,
    ),
    (
        "cursor",
        "?limit=…&after_cursor=…",
        "the next page goes on where the first ended: no gap, no overlap",
        "every page but the first",
        True,
        _cursor,
    ),
    (
        "page_size",
        "?limit=100, and a smaller one",
        "pages have the requested length",
        "requests: a page of 100 rows is the largest there is",
        False,
        _page_size,
    ),
    (
        "dates",
        "?start_date_min=…&start_date_max=…",
        "what starts within these dates, and nothing else",
        "reading the list in spans side by side",
        True,
        _dates,
    ),
)


def _lists() -> Sequence[Assumption]:
    """What is shared, of either list."""
    return [
        Assumption(
            f"{kind}.{name}",
            f"/{kind}/keyset{request}",
            expected,
            f"{kind}: {needed_for}",
            _MARKETS if route == endpoints.MARKETS else _EVENTS,
            loses_rows,
            _looking_at(route, look),
        )
        for kind, route in (("markets", endpoints.MARKETS), ("events", endpoints.EVENTS))
        for name, request, expected, needed_for, loses_rows, look in _SHARED
    ]


ASSUMPTIONS = (
    *_lists(),
    Assumption(
        "markets.bad_cursor",
        "/markets/keyset?after_cursor=(damaged)",
        "refused with 422 or 400",
        "lists: a cursor that is no longer valid begins the span anew",
        _LISTS,
        True,
        _looking_at(endpoints.MARKETS, _bad_cursor),
    ),
    Assumption(
        "markets.undated",
        "/markets/keyset?order=startDate&ascending=true, and false",
        "by start date; those without one together at an end",
        "lists: finding what no span of dates shows",
        _LISTS,
        True,
        _looking_at(endpoints.MARKETS, _undated),
    ),
    Assumption(
        "markets.versions",
        "/markets/keyset?version=v2, and both",
        "markets of Protocol V2 are listed when asked for",
        "markets: those of Protocol V2, hidden by default",
        _MARKETS,
        True,
        _looking_at(endpoints.MARKETS, _versions),
    ),
    Assumption(
        "markets.tags",
        "/markets/keyset?include_tag=true",
        "markets carry their tags",
        "categories; events have tags of their own",
        _MARKETS,
        False,
        _looking_at(endpoints.MARKETS, _tags),
    ),
    Assumption(
        "markets.lookup",
        "/markets/keyset?condition_ids=…&condition_ids=…",
        "exactly the markets of these 40 conditions",
        "lookups and market ids: an ignored filter names foreign markets",
        LOOKUPS,
        True,
        _lookup,
    ),
    Assumption(
        "markets.end",
        "/markets/keyset?condition_ids=…",
        "no cursor on a page that is not full",
        "markets: one request more at the end of every span",
        _MARKETS,
        False,
        _end,
    ),
    Assumption(
        "markets.tokens",
        "/markets/keyset?closed=true",
        "token ids follow from the condition",
        "market ids: a market is believed when its tokens fit",
        LOOKUPS,
        True,
        _tokens,
    ),
    Assumption(
        "markets.slug",
        "/markets/slug/…",
        "the market of that name",
        "lookups: markets that no list shows",
        LOOKUPS,
        True,
        _slug,
    ),
    Assumption(
        "events.members",
        "/events/keyset?closed=true",
        "events carry their markets",
        "events: which market belongs to which; markets without a date",
        _EVENTS,
        True,
        _looking_at(endpoints.EVENTS, _members),
    ),
    Assumption(
        "events.tags",
        "/events/keyset?closed=true",
        "events carry their tags",
        "categories",
        _EVENTS,
        False,
        _looking_at(endpoints.EVENTS, _tags),
    ),
)
