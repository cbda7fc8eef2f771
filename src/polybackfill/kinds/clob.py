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

from polybackfill import errors
from polybackfill.kinds import key_source, markets, proof, size
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, market_parser, pagination
from polybackfill.store import backlog_counts, client

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


def encode(offset: int) -> str:
    """The cursor of an offset."""
    return base64.b64encode(str(offset).encode()).decode()


def key(first: int, end: int | None) -> str:
    """`clob:<first>-<end>`, or `clob:<first>-` up to the end of the list."""
    return f"{_PREFIX}{first}-{'' if end is None else end}"


def build_query(unit_key: str) -> ClobQuery:
    """The question a key names. Raises GiveUp."""
    first, dash, end = unit_key.removeprefix(_PREFIX).partition("-")
    bounds = [text for text in (first, end) if text]
    if unit_key.startswith(_PREFIX) and dash and first and all(map(_is_number, bounds)):
        feed = ClobQuery(
            route=endpoints.CLOB_MARKETS,
            params=(("from", first), ("to", end)),  # told apart by these, never sent
            first=int(first),
            end=int(end) if end else None,
        )
        if feed.end is None or feed.first < feed.end:
            return feed
    raise errors.GiveUp(
        f"{unit_key!r} is no unit of the order book's market list; expected clob:<first>-<end>"
    )


def walk_unit(
    keys: tuple[str, ...], resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    """The pages of one part of the list, from `resume` to its end, as `pagination.follow`."""
    if len(keys) != 1:
        raise errors.GiveUp(f"a walk of the list reads one part, not {len(keys)}")
    return pagination.follow(_PartWalk(build_query(keys[0])), resume, context)


class _PartWalk(pagination.Strategy[market_parser.ParsedListing]):
    """A walk through one part of the list. It ends where the part ends.

    A list may end before that. Only a page without rows proves it, so the walk asks once more for
    the offset behind the last row.
    """

    def __init__(self, query: ClobQuery) -> None:
        self.route, self.feeds = query.route, (query.fingerprint,)
        self._query = query
        self._pages_behind_the_end = 0

    def begin(self, resume: pagination.Resume) -> None:
        self.resume = resume
        self._offset = self._query.first if resume.cursor is None else _decode(resume.cursor)
        self.cursor = encode(self._offset)

    def next_query(self) -> pagination.FeedQuery:
        return self._query

    def read(self, body: bytes, source: pagination.Source) -> market_parser.ParsedListing:
        return _read(self._offset, body, source)

    def advance(self, page: market_parser.ParsedListing) -> pagination.Rows:
        self._offset += page.fetched_rows
        self.cursor = encode(self._offset)
        self._pages_behind_the_end += page.next_cursor is None
        if self._pages_behind_the_end > _MANY_ENDS:
            raise errors.Retry(f"{self.route.path}: rows after its end, repeatedly")
        end, feed = self._query.end, self.resume.feed
        self.resume = pagination.Resume(self.cursor, feed=feed)
        if not page.fetched_rows or (end is not None and self._offset >= end):
            self.resume = pagination.Resume(feed=feed, ended=True)
        return page.rows


async def count_rows(context: pagination.RequestContext) -> int:
    """How many rows the list has, found in about 2 log2(size / 1000) requests."""
    query = build_query(key(0, None))

    async def rows_at(number: int) -> int:
        offset = number * PAGE_ROWS
        ask = functools.partial(
            context.ask, query, encode(offset), functools.partial(_read, offset)
        )
        return (await context.with_retries(ask)).fetched_rows

    filled, empty = -1, 1  # pages
    while await rows_at(empty - 1):
        filled, empty = empty - 1, empty * 2
        if empty * PAGE_ROWS > _LONGEST_LIST:
            raise errors.GiveUp(f"{query.route.path}: the list has no end")
    empty -= 1
    while empty - filled > 1:
        middle = (filled + empty) // 2
        if await rows_at(middle):
            filled = middle
        else:
            empty = middle
    return filled * PAGE_ROWS + await rows_at(filled) if filled >= 0 else 0


def _read(offset: int, body: bytes, source: pagination.Source) -> market_parser.ParsedListing:
    """One page of the list. Raises Retry when it is not the page at this offset."""
    members = market_parser.decode(body, source)
    rows, count, cursor = members.get("data"), members.get("count"), members.get("next_cursor")
    # An empty list was seen as null in other answers of this kind.
    rows = [] if rows is None else [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or (isinstance(count, int) and count != len(rows)):
        raise errors.Retry(f"{source.route}: no list of rows, or not as many as it says")
    if not isinstance(cursor, str):
        raise errors.Retry(f"{source.route}: next_cursor is {cursor!r}")
    listed = market_parser.clob_markets(rows, source)
    if cursor == END_CURSOR:
        return listed
    following = _decode(cursor)
    if not rows or following != offset + len(rows):
        raise errors.Retry(
            f"{source.route}: {len(rows)} rows at {offset}, and then {following} is said to follow"
        )
    listed.next_cursor = cursor
    return listed


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


_PART_ROWS = 20 * PAGE_ROWS


async def _name_parts(context: pagination.RequestContext, began: float) -> list[str]:
    """Parts of 20 pages, the last one open for what is added."""
    del began
    rows = await count_rows(context)
    firsts = range(0, max(1, rows), _PART_ROWS)
    ends = [*firsts[1:], None]
    return [key(first, end) for first, end in zip(firsts, ends, strict=True)]


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    return size.Size(
        units=max(1, size.count_pages(ahead.markets, _PART_ROWS)),
        requests=size.count_pages(ahead.markets, PAGE_ROWS),
        rows=ahead.markets,
        row_bytes=size.MARKET_BYTES,
    )


KIND = unit_kind.Kind(
    name="clob",
    route=endpoints.CLOB_MARKETS,
    walk=unit_kind.by_keys(walk_unit),
    keys=key_source.WholeList(_name_parts),
    tables=(markets.TABLE,),
    estimate=_estimate,
    proof=proof.NewestSweep(),
)
