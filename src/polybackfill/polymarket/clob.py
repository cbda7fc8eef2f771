"""The order book's `/markets`: every condition there is, oldest first, 1000 a page.

Its cursor is the decimal offset in base64, so any part of the list can be read at any time, many
parts side by side. The list only grows at its end (seen on the live service, 2026-05 to 2026-10).
Duplicate rows of one condition occur; the store keeps one of each.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from polybackfill import clocks, errors
from polybackfill.polymarket import endpoints, market_parser, pagination, response_source

PAGE_ROWS = 1000  # fixed by the server
END_CURSOR = "LTE="  # base64 of -1
_PREFIX = "clob:"
# Far above any list; it ends the search of a server that shows rows at every offset.
_LONGEST_LIST = 1 << 31
# A list that grows while its end is read has a few ends; one without an end has many.
_MANY_ENDS = 20


@dataclass(frozen=True, kw_only=True)
class ClobQuery(pagination.FeedQuery):
    """The list from `first` on, up to and without `end` (None: to the end of the list)."""

    first: int
    end: int | None

    def request_params(self, cursor: str | None) -> pagination.Params:
        """The cursor is the parameter `next_cursor`; without one the feed begins at `first`."""
        return (("next_cursor", encode(self.first) if cursor is None else cursor),)


@dataclass(frozen=True)
class _ClobPage:
    """One page. `next_offset`: None when the server said that the list is over."""

    listed: market_parser.ParsedListing
    rows: int
    next_offset: int | None


def encode(offset: int) -> str:
    """The cursor of an offset."""
    return base64.b64encode(str(offset).encode()).decode()


def key(first: int, end: int | None) -> str:
    """`clob:<first>-<end>`, or `clob:<first>-` up to the end of the list."""
    return f"{_PREFIX}{first}-{'' if end is None else end}"


def build_query(unit_key: str) -> ClobQuery:
    """The question a key names; `@` and what follows are no part of it. Raises GiveUp."""
    name = unit_key.partition("@")[0]
    first, dash, end = name.removeprefix(_PREFIX).partition("-")
    bounds = [text for text in (first, end) if text]
    if name.startswith(_PREFIX) and dash and first and all(map(_is_number, bounds)):
        feed = ClobQuery(
            route=endpoints.CLOB_MARKETS,
            params=(("from", first), ("to", end)),  # told apart by these, never sent
            first=int(first),
            end=int(end) if end else None,
        )
        if feed.end is None or feed.first < feed.end:
            return feed
    raise errors.GiveUp(f"{unit_key!r} names no part of the list; expected clob:<from>-<to>")


async def walk_unit(
    keys: tuple[str, ...],
    fetch: pagination.Fetch,
    resume: pagination.Resume | None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: pagination.RetryPolicy = pagination.without_retry,
) -> AsyncIterator[pagination.Page]:
    """The pages of one part of the list, from `resume` to its end.

    A part ends where its range ends. Where the list is over before that, the end is believed only
    from a page without rows: the offset behind the last row is asked for once more.
    """
    if len(keys) != 1:
        raise errors.GiveUp(f"a walk of the list reads one part, not {len(keys)}")
    feed = build_query(keys[0])
    fingerprint = feed.fingerprint
    if resume is None or resume.feed != fingerprint:
        resume = pagination.Resume(feed=fingerprint)
    offset = feed.first if resume.cursor is None else _decode(resume.cursor)
    ended, pages_behind_the_end = resume.ended, 0
    if ended:
        yield pagination.Page((), resume, True, 0)
    while not ended:
        page = await with_retries(functools.partial(_fetch_page, fetch, feed, offset, clock, unit))
        offset += page.rows
        pages_behind_the_end += page.next_offset is None
        if pages_behind_the_end > _MANY_ENDS:
            raise errors.Retry(f"{feed.route.path}: rows after its end, repeatedly")
        ended = not page.rows or (feed.end is not None and offset >= feed.end)
        following = pagination.Resume(cursor=encode(offset), feed=fingerprint)
        if ended:
            following = pagination.Resume(feed=fingerprint, ended=True)
        yield pagination.Page(page.listed.rows, following, ended, page.rows)


async def size(
    fetch: pagination.Fetch,
    *,
    clock: clocks.Clock,
    with_retries: pagination.RetryPolicy = pagination.without_retry,
) -> int:
    """How many rows the list has, found in about 2 log2(size / 1000) requests."""
    feed = build_query(key(0, None))

    async def rows_at(number: int) -> int:
        offset = number * PAGE_ROWS
        page = await with_retries(
            functools.partial(_fetch_page, fetch, feed, offset, clock, "size")
        )
        return page.rows

    filled, empty = -1, 1  # pages
    while await rows_at(empty - 1):
        filled, empty = empty - 1, empty * 2
        if empty * PAGE_ROWS > _LONGEST_LIST:
            raise errors.GiveUp(f"{feed.route.path}: the list has no end")
    empty -= 1
    while empty - filled > 1:
        middle = (filled + empty) // 2
        if await rows_at(middle):
            filled = middle
        else:
            empty = middle
    return filled * PAGE_ROWS + await rows_at(filled) if filled >= 0 else 0


async def _fetch_page(
    fetch: pagination.Fetch, feed: ClobQuery, offset: int, clock: clocks.Clock, unit: str
) -> _ClobPage:
    """One page of the list. Raises Retry when it is not the page at this offset."""
    response = await fetch(feed, encode(offset))
    source = pagination.source_of(feed, response, clock, unit)
    return _read(response.body, offset, source)


def _read(body: bytes, offset: int, source: response_source.ResponseSource) -> _ClobPage:
    members = market_parser.decode(body, source)
    rows, count, cursor = members.get("data"), members.get("count"), members.get("next_cursor")
    # An empty list was seen as null in other answers of this kind.
    rows = [] if rows is None else [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or (isinstance(count, int) and count != len(rows)):
        raise errors.Retry(f"{source.route}: no list of rows, or not as many as it says")
    if not isinstance(cursor, str):
        raise errors.Retry(f"{source.route}: next_cursor is {cursor!r}")
    following = None if cursor == END_CURSOR else _decode(cursor)
    if following is not None and (not rows or following != offset + len(rows)):
        raise errors.Retry(
            f"{source.route}: {len(rows)} rows at {offset}, and then {following} is said to follow"
        )
    return _ClobPage(market_parser.clob_markets(rows, source), len(rows), following)


def _decode(cursor: str) -> int:
    """The offset of a cursor. Raises Retry."""
    try:
        text = base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise errors.Retry(f"{cursor!r} is no cursor of the list") from problem
    if not _is_number(text):
        raise errors.Retry(f"{cursor!r} is no cursor of the list")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
