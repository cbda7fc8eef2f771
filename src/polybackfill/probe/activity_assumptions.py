"""What the program takes for granted about `/v2/activity`, the feed of wallets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from polybackfill import formats, units
from polybackfill.polymarket import (
    contracts,
    date_range,
    endpoints,
    gamma_queries,
    pagination,
    trade_feed,
    trade_parser,
)
from polybackfill.probe import pages, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Evidence, Json, Page, Unseen, sampling
from polybackfill.probe.trade_assumptions import TEXTS, fill_of

_KINDS = (units.WALLETS,)
_YEAR_S = 365 * 86_400
_DEFAULT_REACH_S = 3 * _YEAR_S  # how far the API reaches back by itself
_OLD_MARKETS = 100
_NUMBER = (int, float)
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys((*TEXTS, "type"), str),
    **dict.fromkeys(("timestamp", "outcome_index"), int),
    **dict.fromkeys(("size", "price", "usdc_size"), _NUMBER),
}


async def _page(evidence: Evidence) -> Page:
    return await samples.first_page(evidence, await samples.wallet_feed(evidence))


async def _envelope(evidence: Evidence) -> str:
    feed = await samples.wallet_feed(evidence)
    return pages.check_envelope([await evidence.first(feed)])


async def _fields(evidence: Evidence) -> str:
    page = await _page(evidence)
    parsed = trade_parser.page(page.answer.body, page.answer.source)
    return pages.check_usable(parsed.fetched_rows, [row.reason for row in parsed.rejected])


async def _types(evidence: Evidence) -> str:
    return pages.check_types((await _page(evidence)).rows, _TYPES)


async def _user(evidence: Evidence) -> str:
    feed, page = await samples.wallet_feed(evidence), await _page(evidence)
    pages.require(bool(page.rows), "no row of a wallet that has just traded")
    others = {pages.wallet_of(row) for row in page.rows} - {feed.wallet}
    return pages.require(
        not others, f"{formats.counted(len(page.rows), 'row')}, {len(others)} others"
    )


async def _order(evidence: Evidence) -> str:
    page = await _page(evidence)
    return pages.check_sorted([pages.second_of(row) for row in page.rows], descending=False)


async def _cursor(evidence: Evidence) -> str:
    whole, first, feed = await samples.small_pages(evidence, await samples.wallet_feed(evidence))
    size = pages.small_size(len(whole.rows))
    answer = await pages.second_page(evidence, feed, first, size)
    return pages.check_continues(whole, first, pages.data_page(answer), fill_of)


async def _page_size(evidence: Evidence) -> str:
    whole, first, _ = await samples.small_pages(evidence, await samples.wallet_feed(evidence))
    size = pages.small_size(len(whole.rows))
    return pages.check_page_size(whole, first, endpoints.PAGE_ROWS, size)


async def _unknown(evidence: Evidence) -> str:
    return await pages.check_unknown(evidence, trade_feed.build_wallet_query(samples.NOBODY))


async def _moment(evidence: Evidence) -> tuple[list[Json], Page]:
    """The newest fills of a wallet in a second that is over, and its history of that second."""
    newest = await samples.newest_fills(evidence)
    seconds = [pages.second_of(row) for row in newest.rows]
    inner = [row for row in newest.rows if max(seconds) > pages.second_of(row) > min(seconds)]
    whole = [row for row in inner if pages.wallet_of(row) not in contracts.CONTRACTS]
    if not whole:
        raise Unseen("the newest fills hold no whole second")
    oldest = min(whole, key=pages.second_of)
    wallet, second = pages.wallet_of(oldest), pages.second_of(oldest)
    page = await samples.first_page(evidence, trade_feed.build_wallet_query(wallet, second, second))
    same = [row for row in whole if pages.second_of(row) == second]
    return [row for row in same if pages.wallet_of(row) == wallet], page


async def _window(evidence: Evidence) -> str:
    fills, page = await _moment(evidence)
    second = pages.second_of(fills[0])
    outside = sum(pages.second_of(row) != second for row in page.rows)
    missing = len(page.rows) - outside < len(fills)
    seen = f"{formats.counted(len(page.rows), 'row')} of one second, {outside:,} outside of it"
    return pages.require(not (outside or missing), seen)


def _compare(expected: Sequence[Json], answered: Sequence[Json], what: str) -> str:
    """Both hold the same rows. Raises Broken."""
    known, shown = Counter(map(fill_of, expected)), Counter(map(fill_of, answered))
    missing, others = sum((known - shown).values()), sum((shown - known).values())
    seen = f"{formats.counted(len(answered), 'row')} {what}: {missing:,} missing, {others:,} others"
    return pages.require(not (missing or others), seen)


async def _full_history(evidence: Evidence) -> str:
    present = await samples.present(evidence)
    reach = present - _DEFAULT_REACH_S
    feed = gamma_queries.build_range_query(
        endpoints.MARKETS, date_range.DateRange(closed=True, until=reach - _YEAR_S // 4)
    )
    params = [pair for pair in feed.params if pair[0] not in {"order", "ascending"}]
    params += [("order", "volumeNum"), ("ascending", "false"), ("limit", str(_OLD_MARKETS))]
    with sampling():
        answer = await evidence.answer(feed.route, params)
    rows = answer.fields.get("markets")
    listed = [pages.condition_of(row) for row in rows] if isinstance(rows, list) else []
    for condition in list(filter(None, listed))[:2]:
        wallet, moment = await _old_holder(evidence, condition, reach)
        if wallet:
            history = trade_feed.build_wallet_query(wallet).with_page_size(1)
            page = await samples.first_page(evidence, history)
            first = pages.second_of(page.rows[0]) if page.rows else 0
            back, age = ((present - second) / _YEAR_S for second in (first or present, moment))
            seen = f"{back:.1f} years back, where a position is {age:.1f} years old"
            return pages.require(0 < first < reach, seen)
    raise Unseen("no wallet that is known to be older than three years")


async def _old_holder(evidence: Evidence, condition: str, reach: int) -> tuple[str, int]:
    """A wallet whose position in a market was last touched before `reach`, and when."""
    params = (("condition", f"0x{condition}"), ("status", "CLOSED"), ("limit", "100"))
    with sampling():
        page = pages.data_page(await evidence.answer(endpoints.POSITIONS, params))
    for row in page.rows:
        moment = pages.number_of(row.get("last_event_at"))
        is_answer = pages.condition_of(row) == condition
        if 0 < moment < reach and is_answer and pages.wallet_of(row):
            return pages.wallet_of(row), int(moment)
    return "", 0


async def _transfers(evidence: Evidence) -> str:
    for wallet in await samples.wallets(evidence):
        feed = trade_feed.build_wallet_query(wallet).with_page_size(1)
        located = await samples.first_page(
            evidence, pagination.FeedQuery(feed.route, (*feed.params, ("type", "DEPOSIT")))
        )
        deposits = [row for row in located.rows if row.get("type") == "DEPOSIT"]
        if deposits:
            second = pages.second_of(deposits[0])
            moment = trade_feed.build_wallet_query(wallet, second, second)
            page = await samples.first_page(evidence, moment)
            again = sum(row.get("type") == "DEPOSIT" for row in page.rows)
            seen = f"{formats.counted(again, 'deposit')} in a second known to have one"
            return pages.require(again > 0, seen)
    raise Unseen(f"no deposit of {samples.MAX_WALLETS} wallets")


async def _same_fills(evidence: Evidence) -> str:
    fills, page = await _moment(evidence)
    second = pages.second_of(fills[0])
    shown = [
        row
        for row in page.rows
        if row.get("type") == "TRADE" and not row.get("is_combo") and pages.second_of(row) == second
    ]
    return _compare(list(map(_as_trade, fills)), list(map(_as_trade, shown)), "in one second")


def _as_trade(row: Json) -> Json:
    """A row without what only one of the two feeds says."""
    return {name: value for name, value in row.items() if name != "type"}


ASSUMPTIONS = (
    Assumption(
        "activity.envelope",
        "/v2/activity?user=…",
        "{data, pagination}; has_more says the same as next_cursor",
        "the proven end of a wallet's history",
        _KINDS,
        True,
        _envelope,
    ),
    Assumption(
        "activity.fields",
        "/v2/activity?user=…",
        "every row has the fields that the parser needs",
        "every stored fill and activity; what cannot be read is set aside",
        _KINDS,
        True,
        _fields,
    ),
    Assumption(
        "activity.types",
        "/v2/activity?user=…",
        "numbers are numbers, ids are text, seconds are integers",
        "reading a page in one typed pass, which is fast",
        _KINDS,
        False,
        _types,
    ),
    Assumption(
        "activity.user",
        "/v2/activity?user=…",
        "rows of that wallet alone, and there are some",
        "wallets: an ignored filter would store another wallet's rows",
        _KINDS,
        True,
        _user,
    ),
    Assumption(
        "activity.order",
        "/v2/activity?user=…&sort_direction=ASC",
        "oldest first",
        "wallets: whole seconds, resume points, the end of a window",
        _KINDS,
        True,
        _order,
    ),
    Assumption(
        "activity.cursor",
        "/v2/activity?user=…&limit=…&cursor=…",
        "the next page goes on where the first ended: no gap, no overlap",
        "wallets: every page but the first",
        _KINDS,
        True,
        _cursor,
    ),
    Assumption(
        "activity.page_size",
        "/v2/activity?limit=1000, and a smaller one",
        "pages have the requested length",
        "requests: a page of 1,000 rows is the largest there is",
        _KINDS,
        False,
        _page_size,
    ),
    Assumption(
        "activity.window",
        "/v2/activity?user=…&start=…&end=…",
        "exactly the rows of these seconds, both ends included",
        "wallets: --since and --until, and reading again what is new",
        _KINDS,
        True,
        _window,
    ),
    Assumption(
        "activity.full_history",
        "/v2/activity?user=(an old wallet)&start=1",
        "the history from its beginning, older than three years",
        "wallets: start=1 asks for more than the three years of the default",
        _KINDS,
        True,
        _full_history,
    ),
    Assumption(
        "activity.transfers",
        "/v2/activity?user=…&exclude_deposits_withdrawals=false",
        "deposits and withdrawals are among the rows",
        "wallets: what a wallet paid in and out",
        _KINDS,
        True,
        _transfers,
    ),
    Assumption(
        "activity.same_fills",
        "/v2/activity?user=…&start=…&end=… beside /v2/trades",
        "a fill is the same row in both feeds",
        "one id for a fill that both feeds show",
        (units.WALLETS, units.CONDITIONS),
        True,
        _same_fills,
    ),
    Assumption(
        "activity.unknown",
        "/v2/activity?user=(nobody)",
        "200 with data [] or null",
        "wallets that never traded are done, not in error",
        _KINDS,
        False,
        _unknown,
    ),
)
