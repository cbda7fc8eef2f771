"""Markets asked for by condition id, wherever they still answer.

First both of Gamma's lists; then, for each condition they do not know, the order book, whose row
names the slug under which Gamma answers even for markets that no list shows. A condition nobody
knows is set aside with that reason. Nothing is inferred from silence: every row is compared with
the conditions that were asked, since a filter Gamma does not know is ignored without a word.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from polybackfill import clocks, errors, records
from polybackfill.polymarket import (
    endpoints,
    gamma,
    gamma_queries,
    market_parser,
    pagination,
    response_source,
)

# More than 50 ids in one request met a web page of the edge (403, seen once); others keep to 40.
MAX_CONDITIONS = 40
UNKNOWN = "no list knows this condition"
_NOT_FOUND = 404
SINGLE = (("include_tag", "true"),)
_Read = Callable[[Sequence[object], response_source.ResponseSource], market_parser.ParsedListing]
_IsAnswer = Callable[[records.Market], bool]


async def walk_unit(
    keys: tuple[str, ...],
    fetch: pagination.Fetch,
    resume: pagination.Resume | None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: pagination.RetryPolicy = pagination.without_retry,
) -> AsyncIterator[pagination.Page]:
    """All rows about up to 40 conditions. It is resumed at its beginning: it is a few requests.

    Raises Retry (split) when the edge refuses the batch; Retry and GiveUp as fetched.
    """
    if resume is not None and resume.ended:
        yield pagination.Page((), resume, True, 0)
        return
    if len(keys) > MAX_CONDITIONS:
        raise errors.GiveUp(f"a lookup asks for at most {MAX_CONDITIONS} conditions at once")
    conditions = [records.padded(key.partition("@")[0]) for key in keys]
    search = _Search(fetch, with_retries, clock, unit)
    missing = dict.fromkeys(conditions)
    for closed in (False, True):  # a market that closes between the two is seen
        async for listed in search.lists(conditions, closed=closed):
            for market in listed.markets:
                missing.pop(market.condition_id, None)
            yield _page(listed)
    for condition in missing:
        yield _page(await search.alone(condition))
    yield pagination.Page((), pagination.Resume(ended=True), True, 0)


@dataclass(frozen=True)
class _Search:
    """How questions are put. Each method returns rows about the conditions asked, nothing else."""

    fetch: pagination.Fetch
    with_retries: pagination.RetryPolicy
    clock: clocks.Clock
    unit: str

    async def lists(
        self, conditions: Iterable[str], *, closed: bool
    ) -> AsyncIterator[market_parser.ParsedListing]:
        """The pages of one of Gamma's lists."""
        wanted = frozenset(conditions)
        feed = gamma_queries.build_condition_query(sorted(wanted), closed=closed)
        async for page in gamma.pages(
            self.fetch, feed, clock=self.clock, unit=self.unit, with_retries=self.with_retries
        ):
            listed = market_parser.ParsedListing(
                markets=page.rows_of(records.Market), rejected=page.rows_of(records.Rejected)
            )
            listed.fetched_rows = page.fetched_rows
            yield listed

    async def alone(self, condition: str) -> market_parser.ParsedListing:
        """What the order book knows, and Gamma under the slug that it names."""
        shown = records.show(records.padded(condition))
        route = endpoints.CLOB_MARKETS.at(shown)
        listed = await self._one(
            route, market_parser.clob_markets, lambda row: row.condition_id == condition
        )
        if listed is None or not listed.markets:
            return self._unknown(condition)
        slug = next((market.market_slug for market in listed.markets), "")
        if slug:
            route = endpoints.MARKET_BY_SLUG.at(urllib.parse.quote(slug, safe=""))
            by_slug = await self._one(
                route,
                market_parser.gamma_markets,
                lambda row: row.condition_id == condition or row.market_slug == slug,
            )
            if by_slug is not None:
                # A slug that belongs to another market by now brings nothing.
                rows = by_slug.markets
                listed.markets += [row for row in rows if row.condition_id == condition]
                listed.rejected += by_slug.rejected
                listed.fetched_rows += by_slug.fetched_rows
        return listed

    async def _one(
        self, route: endpoints.Route, read: _Read, is_answer: _IsAnswer
    ) -> market_parser.ParsedListing | None:
        """A single read; None when there is no such thing. Raises Retry for something else."""
        feed = pagination.FeedQuery(route=route, params=SINGLE)

        async def attempt() -> market_parser.ParsedListing:
            response = await self.fetch(feed, None)
            source = pagination.source_of(feed, response, self.clock, self.unit)
            listed = read([market_parser.decode(response.body, source)], source)
            if not all(map(is_answer, listed.markets)):
                raise errors.Retry(f"{route.address}: another market")
            return listed

        try:
            return await self.with_retries(attempt)
        except errors.GiveUp as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            return None

    def _unknown(self, condition: str) -> market_parser.ParsedListing:
        missing = records.reject(
            reason=UNKNOWN,
            request=endpoints.CLOB_MARKETS.at(records.show(condition)).address,
            raw=msgspec.json.encode({"condition_id": records.show(condition)}).decode(),
            unit=self.unit,
            rejected_at=int(self.clock.now()),
        )
        return market_parser.ParsedListing(rejected=[missing])


def _page(listed: market_parser.ParsedListing) -> pagination.Page:
    first, last = listed.span
    return pagination.Page(
        listed.rows, pagination.Resume(), False, listed.fetched_rows, first, last
    )
