"""What the probe looks at: wallets, conditions and markets that the API itself has just shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from polybackfill import errors, units
from polybackfill.polymarket import (
    contracts,
    date_range,
    endpoints,
    gamma_queries,
    pagination,
    trade_feed,
)
from polybackfill.probe import pages
from polybackfill.probe.evidence import Broken, Evidence, Page, Unseen, sampling

MAX_WALLETS = 2
# The newest fills of all markets, both sides of each.
NEWEST = pagination.FeedQuery(
    endpoints.TRADES, (("taker_only", "false"), ("limit", str(endpoints.PAGE_ROWS)))
)
_ONE_ROW = (("limit", "1"),)
# An id of the right form that nobody has.
NOBODY, NOTHING = f"{1:040x}", f"{1:064x}"


async def answers_something(evidence: Evidence, host: str) -> bool:
    """Whether a host still answers one of the questions that any healthy one answers."""
    always = {
        "data": ((endpoints.STATUS, ()), (endpoints.TRADES, NEWEST.params)),
        "gamma": ((endpoints.MARKETS, _ONE_ROW), (endpoints.EVENTS, _ONE_ROW)),
        "clob": ((endpoints.CLOB_MARKETS, ()),),
    }
    for route, query in always[host]:
        try:
            await evidence.answer(route, query)
        except (Broken, errors.Retry):
            continue
        return True
    return False


async def newest_fills(evidence: Evidence) -> Page:
    """The newest fills of all markets, whatever their envelope has become. Raises Unseen."""
    with sampling():
        answer = await evidence.first(NEWEST)
    rows, pagination = answer.fields.get("data"), answer.fields.get("pagination")
    objects = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not objects:
        raise Unseen("no newest fill is listed")
    cursor = pagination.get("next_cursor") if isinstance(pagination, dict) else None
    return Page(objects, cursor, answer)


async def present(evidence: Evidence) -> int:
    """The API's own present: the second of the newest fill."""
    return max(map(pages.second_of, (await newest_fills(evidence)).rows))


async def conditions(evidence: Evidence) -> list[str]:
    """Conditions of the newest fills, the busiest first."""
    page = await newest_fills(evidence)
    counted = Counter(filter(None, map(pages.condition_of, page.rows)))
    if not counted:
        raise Unseen("no fill names a condition")
    return [condition for condition, _ in counted.most_common(units.MAX_KEYS_PER_BATCH)]


async def wallets(evidence: Evidence) -> list[str]:
    """Wallets of the newest fills, those in the most markets first."""
    page = await newest_fills(evidence)
    pairs = {(pages.wallet_of(row), pages.condition_of(row)) for row in page.rows}
    counted = Counter(wallet for wallet, _ in sorted(pairs) if wallet)
    busiest = [wallet for wallet, _ in counted.most_common() if wallet not in contracts.CONTRACTS]
    if not busiest:
        raise Unseen("no fill names a wallet")
    return busiest[:MAX_WALLETS]


async def market_feed(evidence: Evidence) -> pagination.FeedQuery:
    """All fills of the busiest condition."""
    return trade_feed.build_condition_query((await conditions(evidence))[:1])


async def wallet_feed(evidence: Evidence) -> pagination.FeedQuery:
    """The history of the busiest wallet."""
    return trade_feed.build_wallet_query((await wallets(evidence))[0])


async def first_page(evidence: Evidence, feed: pagination.FeedQuery) -> Page:
    """The first page of a list of the Data API."""
    return pages.data_page(await evidence.first(feed))


async def small_pages(
    evidence: Evidence, feed: pagination.FeedQuery
) -> tuple[Page, Page, pagination.FeedQuery]:
    """A feed's first page, its first page in a small size, and the question for that size."""
    whole = await first_page(evidence, feed)
    small = pages.of_size(feed, pages.small_size(len(whole.rows)))
    return whole, await first_page(evidence, small), small


def list_feed(route: endpoints.Route, *, closed: bool) -> gamma_queries.GammaQuery:
    """The whole of one of Gamma's lists, by id."""
    return gamma_queries.build_range_query(route, date_range.DateRange(closed))


def latest_feed(route: endpoints.Route, *, closed: bool) -> gamma_queries.GammaQuery:
    """The same by start date, the latest first."""
    return gamma_queries.build_range_query(
        route, date_range.DateRange(closed), gamma_queries.Order.LATEST_FIRST
    )


def sized_list(route: endpoints.Route, page_rows: int) -> gamma_queries.GammaQuery:
    """The list of closed ones, by id, in pages of another size."""
    return replace(list_feed(route, closed=True), page_rows=page_rows)


async def list_page(
    evidence: Evidence, feed: gamma_queries.GammaQuery, cursor: str | None = None
) -> Page:
    """A page of one of Gamma's lists. Raises Unseen when it is none."""
    answer = await (evidence.first(feed) if cursor is None else evidence.next(feed, cursor))
    rows = answer.fields.get("markets" if feed.route == endpoints.MARKETS else "events")
    following = answer.fields.get("next_cursor")
    if not isinstance(rows, list):
        raise Unseen("the answer is no list")
    objects = [row for row in rows if isinstance(row, dict)]
    return Page(objects, following if isinstance(following, str) else None, answer)


async def structural_markets(evidence: Evidence, *, closed: bool) -> Page:
    """Markets of Protocol V2 alone."""
    feed = list_feed(endpoints.MARKETS, closed=closed)
    only = tuple(pair for pair in feed.params if pair != ("version", "v1"))
    return await list_page(evidence, replace(feed, params=only))


async def closed_conditions(evidence: Evidence, most: int) -> list[str]:
    """Conditions of closed markets, those that started last; at most half of those listed, so that
    an answer about all of them is told from one about these.
    """
    with sampling():
        page = await list_page(evidence, latest_feed(endpoints.MARKETS, closed=True))
    conditions = dict.fromkeys(filter(None, map(pages.condition_of, page.rows)))
    if not conditions:
        raise Unseen("no closed market has a condition")
    return list(conditions)[: min(most, max(1, len(conditions) // 2))]


def is_structural(condition: str) -> bool:
    """A condition of Protocol V2, whose token ids follow no published rule."""
    return condition[:2] in {"01", "02", "03"} and condition.endswith("00")
