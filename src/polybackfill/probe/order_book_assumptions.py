"""What the program takes for granted about the order book's `/markets`."""

from __future__ import annotations

from polybackfill import formats
from polybackfill.kinds import clob
from polybackfill.polymarket import endpoints, market_parser
from polybackfill.probe import market_assumptions, pages, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Answer, Evidence, Json, Page, Unseen

_KINDS = ("clob",)
_BEYOND = 1_000_000_000  # far behind the end of any list of markets


async def _at(evidence: Evidence, offset: int) -> Answer:
    return await evidence.first(clob.build_query(clob.key(offset, None)))


def _page(answer: Answer) -> Page:
    rows, cursor = answer.fields.get("data"), answer.fields.get("next_cursor")
    rows = [] if rows is None and "data" in answer.fields else rows
    if not isinstance(rows, list) or not isinstance(cursor, str):
        raise Unseen("the answer is no page of the list")
    return Page([row for row in rows if isinstance(row, dict)], cursor, answer)


def _market_of(row: Json) -> tuple[object, ...]:
    return tuple(row.get(name) for name in ("condition_id", "question_id", "market_slug"))


async def _envelope(evidence: Evidence) -> str:
    answer = await _at(evidence, 0)
    rows, count = pages.list_of(answer, "data"), answer.fields.get("count")
    cursor = answer.fields.get("next_cursor")
    pages.require(isinstance(cursor, str), f"next_cursor {cursor!r}")
    return pages.require(
        count in (None, len(rows)), f"{formats.counted(len(rows), 'row')}, count {count!r}"
    )


async def _fields(evidence: Evidence) -> str:
    page = _page(await _at(evidence, 0))
    listed = market_parser.clob_markets(page.rows, page.answer.source)
    return pages.check_usable(len(page.rows), [row.reason for row in listed.rejected])


async def _cursor(evidence: Evidence) -> str:
    page = _page(await _at(evidence, 0))
    expected = (clob.encode(len(page.rows)), clob.END_CURSOR)
    seen = f"{page.cursor} behind {formats.counted(len(page.rows), 'row')}"
    return pages.require(page.cursor in expected, seen)


async def _offsets(evidence: Evidence) -> str:
    page = _page(await _at(evidence, 0))
    if len(page.rows) < 2:
        raise Unseen("fewer than two markets")
    middle = len(page.rows) // 2
    later = _page(await _at(evidence, middle))
    expected = [_market_of(row) for row in page.rows[middle:]]
    shown = [_market_of(row) for row in later.rows[: len(expected)]]
    same = sum(one == other for one, other in zip(expected, shown, strict=False))
    seen = (
        f"{same:,} of {formats.counted(len(expected), 'row')} from offset {middle:,} on "
        "are the same"
    )
    return pages.require(same == len(expected), seen)


async def _page_size(evidence: Evidence) -> str:
    page = _page(await _at(evidence, 0))
    fits = len(page.rows) == clob.PAGE_ROWS or page.cursor == clob.END_CURSOR
    seen = f"{formats.counted(len(page.rows), 'row')}, next_cursor {page.cursor}"
    return pages.require(fits and len(page.rows) <= clob.PAGE_ROWS, seen)


async def _end(evidence: Evidence) -> str:
    page = _page(await _at(evidence, _BEYOND))
    seen = f"{formats.counted(len(page.rows), 'row')} at {_BEYOND:,}, next_cursor {page.cursor}"
    return pages.require(not page.rows and page.cursor == clob.END_CURSOR, seen)


async def _single(evidence: Evidence) -> str:
    page = _page(await _at(evidence, 0))
    known = next(filter(None, map(pages.condition_of, page.rows)), "")
    if not known:
        raise Unseen("no market with a condition")
    route = endpoints.CLOB_MARKETS.at(f"0x{known}")
    answer = await evidence.answer(route, ())
    shown = pages.condition_of(answer.fields) == known
    return pages.require(shown, "that market" if shown else "another market, or none")


async def _unknown(evidence: Evidence) -> str:
    route = endpoints.CLOB_MARKETS.at(f"0x{samples.NOTHING}")
    return await pages.check_not_found(evidence, route, ())


ASSUMPTIONS = (
    Assumption(
        "order_book.envelope",
        "/markets (order book)",
        "{data, count, next_cursor}, count is the number of rows",
        "markets: every condition there is",
        _KINDS,
        True,
        _envelope,
    ),
    Assumption(
        "order_book.fields",
        "/markets (order book)",
        "every row has a condition, a slug or a question",
        "markets: every stored row of the list",
        _KINDS,
        True,
        _fields,
    ),
    Assumption(
        "order_book.cursor",
        "/markets?next_cursor=(base64 of 0)",
        "next_cursor is the next offset in base64, or LTE= at the end",
        "markets: the proven end of a part of the list",
        _KINDS,
        True,
        _cursor,
    ),
    Assumption(
        "order_book.offsets",
        "/markets?next_cursor=(base64 of an offset)",
        "the list from that row on",
        "markets: many parts of the list side by side",
        _KINDS,
        True,
        _offsets,
    ),
    Assumption(
        "order_book.page_size",
        "/markets (order book)",
        "1,000 rows a page",
        "requests: parts of 20 pages are cut with that size",
        _KINDS,
        False,
        _page_size,
    ),
    Assumption(
        "order_book.end",
        "/markets?next_cursor=(base64 of 10^9)",
        "no rows, and LTE=",
        "markets: finding the list's length, and its end",
        _KINDS,
        True,
        _end,
    ),
    Assumption(
        "order_book.single",
        "/markets/(condition)",
        "that market",
        "lookups: conditions that Gamma does not list",
        market_assumptions.LOOKUPS,
        True,
        _single,
    ),
    Assumption(
        "order_book.unknown",
        "/markets/(unknown condition)",
        "404",
        "lookups: a condition nobody knows ends the search",
        market_assumptions.LOOKUPS,
        False,
        _unknown,
    ),
)
