"""Markets asked for by condition id, wherever they still answer.

First both of Gamma's lists; then, for each condition they do not know, the order book, whose row
names the slug under which Gamma answers even for markets that no list shows. A condition nobody
knows is set aside with that reason. Nothing is inferred from silence: every row is compared with
the conditions that were asked, since a filter Gamma does not know is ignored without a word.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import (
    endpoints,
    gamma,
    gamma_queries,
    market_parser,
    pagination,
)

UNKNOWN = "no list knows this condition"
_NOT_FOUND = 404
SINGLE = (("include_tag", "true"),)
_Parse = Callable[[Sequence[object], pagination.Source], market_parser.ParsedListing]
_IsAnswer = Callable[[records.Market], bool]


async def walk_unit(
    keys: tuple[str, ...], resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    """All rows about up to 40 conditions. A resumed walk begins anew: it is a few requests.

    Raises Retry (split) when the edge refuses the batch; Retry and GiveUp as fetched.
    """
    if resume is not None and resume.ended:
        yield pagination.Page((), resume, fetched_rows=0)
        return
    if len(keys) > gamma_queries.MAX_CONDITIONS:
        raise errors.GiveUp(
            f"a lookup asks for at most {gamma_queries.MAX_CONDITIONS} conditions at once"
        )
    conditions = [records.padded(key) for key in keys]
    missing = dict.fromkeys(conditions)
    for closed in (False, True):  # a market that closes between the two is seen
        query = gamma_queries.build_condition_query(sorted(set(conditions)), closed=closed)
        async for page in gamma.pages((query,), None, context):
            for market in page.rows_of(records.Market):
                missing.pop(market.condition_id, None)
            yield pagination.Page(page.rows, pagination.Resume(), page.fetched_rows)
    for condition in missing:
        listed = await _read_alone(condition, context)
        yield pagination.Page(listed.rows, pagination.Resume(), listed.fetched_rows)
    yield pagination.Page((), pagination.Resume(ended=True), fetched_rows=0)


async def _read_alone(
    condition: str, context: pagination.RequestContext
) -> market_parser.ParsedListing:
    """What the order book knows, and Gamma under the slug that it names."""
    route = endpoints.CLOB_MARKETS.at(records.show(condition))
    listed = await _read_single(
        route, market_parser.clob_markets, lambda row: row.condition_id == condition, context
    )
    if listed is None or not listed.markets:
        return _reject_unknown(condition, route, context)
    slug = next((market.market_slug for market in listed.markets), "")
    if not slug:
        return listed
    by_slug = await _read_single(
        endpoints.MARKET_BY_SLUG.at(urllib.parse.quote(slug, safe="")),
        market_parser.gamma_markets,
        lambda row: row.condition_id == condition or row.market_slug == slug,
        context,
    )
    if by_slug is not None:
        # A slug that belongs to another market by now brings nothing.
        listed.markets += [row for row in by_slug.markets if row.condition_id == condition]
        listed.rejected += by_slug.rejected
        listed.fetched_rows += by_slug.fetched_rows
    return listed


async def _read_single(
    route: endpoints.Route,
    parse: _Parse,
    is_answer: _IsAnswer,
    context: pagination.RequestContext,
) -> market_parser.ParsedListing | None:
    """One market; None when there is no such thing. Raises Retry for another market."""

    def read(body: bytes, source: pagination.Source) -> market_parser.ParsedListing:
        listed = parse([market_parser.decode(body, source)], source)
        if not all(map(is_answer, listed.markets)):
            raise errors.Retry(f"{route.address}: another market")
        return listed

    query = pagination.FeedQuery(route=route, params=SINGLE)
    try:
        return await context.with_retries(partial(context.ask, query, None, read))
    except errors.GiveUp as refusal:
        if refusal.status != _NOT_FOUND:
            raise
        return None


def _reject_unknown(
    condition: str, route: endpoints.Route, context: pagination.RequestContext
) -> market_parser.ParsedListing:
    missing = records.reject(
        reason=UNKNOWN,
        request=route.address,
        raw=msgspec.json.encode({"condition_id": records.show(condition)}).decode(),
        unit=context.unit,
        rejected_at=int(context.clock.now()),
    )
    return market_parser.ParsedListing(rejected=[missing])
