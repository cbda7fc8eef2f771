"""What the program takes for granted about `/v2/positions`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

from polybackfill import formats
from polybackfill.kinds import positions
from polybackfill.polymarket import endpoints, pagination, position_parser
from polybackfill.probe import pages, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Evidence, Json, Page, Unseen

_KINDS = ("positions",)
_ENOUGH = 4  # rows to see two pages, an order and two times on
_ANY_SIZE = "1000000000000"  # shares nobody holds
_NUMBER = (int, float)
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("proxy_wallet", "condition_id", "token_id", "status", "slug", "outcome"), str),
    **dict.fromkeys(("last_event_at", "outcome_index"), int),
    **dict.fromkeys(("current_size", "avg_price", "total_size", "realized_pnl"), _NUMBER),
}


def _position_of(row: Json) -> Hashable:
    return (pages.wallet_of(row), str(row.get("token_id")))


def _moment(row: Json) -> int:
    return pages.integer_of(row.get("last_event_at"))


async def _list(evidence: Evidence, status: str) -> tuple[pagination.FeedQuery, Page]:
    """One of the two lists of a wallet that has rows there, several if any has. Raises Unseen."""
    first_pages: list[tuple[pagination.FeedQuery, Page]] = []
    for wallet in await samples.wallets(evidence):
        feed = positions.build_query(wallet, status)
        first_pages.append((feed, await samples.first_page(evidence, feed)))
        if len(first_pages[-1][1].rows) >= _ENOUGH:
            break
    feed, page = max(first_pages, key=lambda one: len(one[1].rows))
    if not page.rows:
        raise Unseen(f"no {status} position of {samples.MAX_WALLETS} wallets")
    return feed, page


async def open_page(evidence: Evidence) -> Page:
    """Open positions of a wallet. Raises Unseen."""
    return (await _list(evidence, positions.OPEN))[1]


async def _envelope(evidence: Evidence) -> str:
    wallet = (await samples.wallets(evidence))[0]
    feeds = [positions.build_query(wallet, status) for status in positions.LISTS]
    return pages.check_envelope([await evidence.first(feed) for feed in feeds])


async def _fields(evidence: Evidence) -> str:
    _, page = await _list(evidence, positions.OPEN)
    parsed = position_parser.page(
        page.answer.body, page.answer.source, status=positions.OPEN, timestamp=1, version=1
    )
    return pages.check_usable(parsed.fetched_rows, [row.reason for row in parsed.rejected])


async def _types(evidence: Evidence) -> str:
    return pages.check_types((await _list(evidence, positions.OPEN))[1].rows, _TYPES)


async def _user(evidence: Evidence) -> str:
    feed, page = await _list(evidence, positions.OPEN)
    others = {pages.wallet_of(row) for row in page.rows} - {feed.wallet}
    return pages.require(
        not others, f"{formats.counted(len(page.rows), 'row')}, {len(others)} others"
    )


async def _status(evidence: Evidence) -> str:
    def check(page: Page, status: str) -> str:
        others = sum(row.get("status") in positions.FOREIGN[status] for row in page.rows)
        return pages.require(not others, f"{others:,} of {len(page.rows):,} rows are others")

    return await _of_both_lists(evidence, check)


async def _order(evidence: Evidence) -> str:
    def check(page: Page, _status: str) -> str:
        moments = [moment for moment in map(_moment, page.rows) if moment]
        return pages.check_sorted(moments, descending=False)

    return await _of_both_lists(evidence, check)


async def _of_both_lists(evidence: Evidence, check: Callable[[Page, str], str]) -> str:
    """What a check sees in each list that has rows. Raises Unseen when it sees nothing in any."""
    seen, unseen = [], []
    for status in positions.LISTS:
        try:
            _, page = await _list(evidence, status)
            seen.append(f"{status}: {check(page, status)}")
        except Unseen as missing:
            unseen.append(f"{status}: {missing}")
    if not seen:
        raise Unseen("; ".join(unseen))
    return "; ".join([*seen, *unseen])


async def _cursor(evidence: Evidence) -> str:
    feed, _ = await _list(evidence, positions.OPEN)
    whole, first, small = await samples.small_pages(evidence, feed)
    answer = await pages.second_page(evidence, small, first, pages.small_size(len(whole.rows)))
    return pages.check_continues(whole, first, pages.data_page(answer), _position_of)


async def _bad_cursor(evidence: Evidence) -> str:
    feed, _ = await _list(evidence, positions.OPEN)
    _, first, small = await samples.small_pages(evidence, feed)
    return await pages.check_bad_cursor(evidence, small, first.cursor)


async def _page_size(evidence: Evidence) -> str:
    feed, _ = await _list(evidence, positions.OPEN)
    whole, first, _ = await samples.small_pages(evidence, feed)
    size = pages.small_size(len(whole.rows))
    return pages.check_page_size(whole, first, endpoints.PAGE_ROWS, size)


async def _dust(evidence: Evidence) -> str:
    feed, page = await _list(evidence, positions.OPEN)
    params = tuple(
        (name, _ANY_SIZE if name == "filter_amount" else said) for name, said in feed.params
    )
    largest = pages.data_page(await evidence.answer(feed.route, params))
    seen = (
        f"{formats.counted(len(page.rows), 'row')} from 0 shares on, "
        f"{len(largest.rows):,} from 10^12"
    )
    return pages.require(len(largest.rows) < len(page.rows), seen)


async def _since(evidence: Evidence) -> str:
    feed, page = await _list(evidence, positions.OPEN)
    moments = sorted(moment for moment in map(_moment, page.rows) if moment)
    if len(set(moments)) < 2:
        raise Unseen("fewer than two positions with different times")
    since = next(moment for moment in moments[len(moments) // 2 :] if moment > moments[0])
    later = positions.build_query(feed.wallet or "", positions.OPEN, since)
    answered = await samples.first_page(evidence, later)
    expected = Counter(_position_of(row) for row in page.rows if _moment(row) >= since)
    missing = sum((expected - Counter(map(_position_of, answered.rows))).values())
    early = sum(_moment(row) < since for row in answered.rows)
    seen = f"{formats.counted(len(answered.rows), 'row')}: {missing:,} missing, {early:,} too early"
    return pages.require(not (missing or early), seen)


async def _unknown(evidence: Evidence) -> str:
    return await pages.check_unknown(
        evidence, positions.build_query(samples.NOBODY, positions.OPEN)
    )


ASSUMPTIONS = (
    Assumption(
        "positions.envelope",
        "/v2/positions?user=…&status=OPEN, and CLOSED",
        "{data, pagination}; has_more says the same as next_cursor",
        "the proven end of a wallet's positions",
        _KINDS,
        True,
        _envelope,
    ),
    Assumption(
        "positions.fields",
        "/v2/positions?user=…&include_archived=true",
        "every row has the fields that the parser needs",
        "every stored position; a row that cannot be read is set aside",
        _KINDS,
        True,
        _fields,
    ),
    Assumption(
        "positions.types",
        "/v2/positions?user=…",
        "numbers are numbers, ids are text, seconds are integers",
        "reading a page in one typed pass, which is fast",
        _KINDS,
        False,
        _types,
    ),
    Assumption(
        "positions.user",
        "/v2/positions?user=…",
        "rows of that wallet alone",
        "positions: an ignored filter would store another wallet's",
        _KINDS,
        True,
        _user,
    ),
    Assumption(
        "positions.status",
        "/v2/positions?user=…&status=OPEN, and CLOSED",
        "open and closed positions are two lists",
        "positions: what is held, and what left the wallet",
        _KINDS,
        True,
        _status,
    ),
    Assumption(
        "positions.order",
        "/v2/positions?…&sort_by=TIMESTAMP&sort_direction=ASC",
        "by last event, the oldest first, in both lists",
        "positions: a position that changes while a list is read is not missed",
        _KINDS,
        True,
        _order,
    ),
    Assumption(
        "positions.cursor",
        "/v2/positions?…&limit=…&cursor=…",
        "the next page goes on where the first ended: no gap, no overlap",
        "positions: every page but the first",
        _KINDS,
        True,
        _cursor,
    ),
    Assumption(
        "positions.bad_cursor",
        "/v2/positions?…&cursor=(damaged)",
        "refused with 400",
        "positions: a cursor that is no longer valid begins the reading anew",
        _KINDS,
        True,
        _bad_cursor,
    ),
    Assumption(
        "positions.page_size",
        "/v2/positions?limit=1000, and a smaller one",
        "pages have the requested length",
        "requests: a page of 1,000 rows is the largest there is",
        _KINDS,
        False,
        _page_size,
    ),
    Assumption(
        "positions.dust",
        "/v2/positions?…&filter_amount=0, and 10^12",
        "the smallest size shown is the one asked for",
        "positions below the 0.1 share of the default",
        _KINDS,
        True,
        _dust,
    ),
    Assumption(
        "positions.since",
        "/v2/positions?…&start=…",
        "the positions with an event in or after that second",
        "positions: what changed while a wallet was read",
        _KINDS,
        True,
        _since,
    ),
    Assumption(
        "positions.unknown",
        "/v2/positions?user=(nobody)",
        "200 with data [] or null",
        "wallets without positions are done, not in error",
        _KINDS,
        False,
        _unknown,
    ),
)
