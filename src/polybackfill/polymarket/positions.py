"""All positions of a wallet: the open ones, the closed ones, and what moved meanwhile.

A position is always in one of two lists, OPEN (which shows redeemable ones too) or CLOSED, and may
change places while they are read. What can be proven rests on the order `TIMESTAMP ASC`, the time
of a position's last event: prices do not move it, and every event moves it towards the end, which
is still to be read. Both lists have this order (others the closed list replaces by its own). So
within one list a position may be seen twice, of which the newer sight wins by its version, but one
that stays in the list cannot be missed; a list that fits on one page is seen at one moment anyway.
To be missed it has to be in the other list each time: closed while the open list is read, open
again while the closed list is read. Therefore the open list is read again, from shortly before the
beginning on, since a position that changed lists has an event of that time; and so on in turns,
until such a list fits on one page.

A wallet whose newest event is older than a day, and whose lists are one page each, read within
seconds, is done after two requests. What remains: a position of such a wallet that is bought back
in the very second between them; one that changes lists between each two of the last requests; and
changes the API does not count as events. They are found by the next reading of the wallet.

The end of a complete reading deletes what older readings left behind, unless a row was set aside:
what it was about may be what would be deleted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import msgspec

from polybackfill import clocks, errors, records
from polybackfill.polymarket import endpoints, pagination, position_parser

OPEN, CLOSED = "OPEN", "CLOSED"
LISTS = (OPEN, CLOSED)
# A list says REDEEMABLE of what is open and settled; a row of the other list is no answer.
FOREIGN = {OPEN: frozenset((CLOSED,)), CLOSED: frozenset((OPEN, "REDEEMABLE"))}
# How far the source's own clock may lie behind an event (pm-backfill reads 120 s behind the head).
LAG_S = 120
QUIET_S = 86_400
SHORT_S = 30
# Bots trade thousands of markets an hour; by then a missed position has changed lists seven times.
MAX_LISTS = 8
_REMEMBERED_CURSORS = 4_096


class PositionsCursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a reading stands; it travels as the `cursor` of a Resume.

    `began_ms`: when each list so far was begun, epoch milliseconds; the first one names the whole
    reading. `began`: its tick. `done`: lists read to their end. Of the present list `since` is its
    bound, `pages` are read, `page_cursor` is the next, `clock` the last event of its last row;
    `newest`: that of the whole reading, epoch seconds. `largest`: pages of the longest list.
    `rejected`: rows set aside. `request_tick`, `request_ms`: tick and time of the last request.
    """

    began_ms: tuple[int, ...] = ()
    began: int = 0
    done: int = 0
    since: int | None = None
    pages: int = 0
    page_cursor: str | None = msgspec.field(default=None, name="cursor")
    clock: int = 0
    newest: int = 0
    largest: int = 0
    rejected: int = 0
    request_tick: int = msgspec.field(default=0, name="asked")
    request_ms: int = msgspec.field(default=0, name="asked_ms")

    @property
    def status(self) -> str:
        """The list that is being read."""
        return LISTS[self.done % len(LISTS)]


async def walk_unit(
    unit_keys: tuple[str, ...],
    fetch: pagination.Fetch,
    resume: pagination.Resume | None = None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: pagination.RetryPolicy = pagination.without_retry,
) -> AsyncIterator[pagination.Page]:
    """The positions of one wallet (40 hex digits, with `@` and a sweep's name if there is one).

    The last page carries a PositionsEnd. A cursor that is refused twice begins the reading anew, in
    pages of another size (`walk.CursorRefusalPolicy` says how often). Raises Retry, GiveUp and Stop
    as `walk.pages` does.
    """
    wallet, _, _ = unit_keys[0].partition("@")
    sweep = _PositionsSweep(wallet, resume, clock=clock, unit=unit)
    while not sweep.ended:
        try:
            # No name for answer or page: they would stay in memory while the caller is busy.
            yield sweep.advance(await with_retries(lambda: sweep.fetch_page(fetch)))
        except (errors.GiveUp, errors.Retry) as refusal:
            if not pagination.refuses_cursor(refusal) or not sweep.may_go_on(refusal):
                raise
    if sweep.was_over:
        yield pagination.Page((), sweep.resume, last=True, fetched_rows=0)


def build_query(wallet: str, status: str, since: int | None = None) -> pagination.FeedQuery:
    """One of the two lists of a wallet, least recently changed first, dust included.

    Archived markets show their open positions only. `since`: epoch seconds of the last event.
    """
    params = [
        ("user", records.show(wallet)),
        ("status", status),
        ("filter_type", "TOKENS"),
        ("filter_amount", "0"),
        ("sort_by", "TIMESTAMP"),
        ("sort_direction", "ASC"),
        ("limit", str(endpoints.PAGE_ROWS)),
    ]
    if status == OPEN:
        params.append(("include_archived", "true"))
    if since is not None:
        params.append(("start", str(since)))
    return pagination.FeedQuery(
        endpoints.POSITIONS, tuple(params), wallet=wallet, descending=False, since=since
    )


class _PositionsSweep:
    """Where the reading of a wallet stands. `ask` only looks; `take` moves on."""

    def __init__(
        self, wallet: str, resume: pagination.Resume | None, *, clock: clocks.Clock, unit: str
    ) -> None:
        self._wallet = wallet
        self._clock = clock
        self._unit = unit
        self._fingerprint = "".join(build_query(wallet, status).fingerprint for status in LISTS)
        self._refusals = pagination.CursorRefusalPolicy()
        self._has_restarted = False
        self._refused_at = 0
        known = resume if resume and resume.feed == self._fingerprint else None
        self.ended = self.was_over = known is not None and known.ended
        self._begin(_parse_cursor(known))

    def _begin(self, cursor: PositionsCursor) -> None:
        self._cursor = cursor
        self._request_tick, self._request_ms = cursor.request_tick, cursor.request_ms
        self._pages = 0
        self._barren = pagination.BarrenPages(endpoints.POSITIONS.path)
        self._seen_cursors: deque[str | None] = deque(maxlen=_REMEMBERED_CURSORS)

    @property
    def resume(self) -> pagination.Resume:
        """Where to go on once the rows taken so far are stored."""
        if self.ended:
            return pagination.Resume(feed=self._fingerprint, ended=True)
        cursor = msgspec.json.encode(self._cursor).decode()
        return pagination.Resume(cursor, feed=self._fingerprint)

    def may_go_on(self, refusal: errors.GiveUp | errors.Retry) -> bool:
        """After a refusal: with the same cursor, or from a new beginning."""
        cursor = self._cursor.page_cursor
        if cursor is None:
            return False
        if self._refusals.may_retry_cursor(cursor):
            return True
        further = self._pages > self._refused_at
        if not self._refusals.may_restart(refusal, further=further):
            return False
        self._refused_at = max(self._refused_at, self._pages)
        self._has_restarted = True
        self._begin(PositionsCursor(request_tick=self._request_tick, request_ms=self._request_ms))
        return True

    async def fetch_page(self, fetch: pagination.Fetch) -> position_parser.PositionsPage:
        """Fetch and parse the next page. Raises Retry when it is not the answer."""
        cursor = self._start_list()
        feed = build_query(self._wallet, cursor.status, cursor.since)
        feed = feed.with_page_size(self._refusals.page_rows)
        response = await fetch(feed, cursor.page_cursor)
        page = position_parser.page(
            response.body,
            pagination.source_of(feed, response, self._clock, self._unit),
            status=cursor.status,
            timestamp=cursor.began_ms[0] // 1000,
            version=_version(self._request_tick),
        )
        self._check(page, cursor)
        return page

    def advance(self, page: position_parser.PositionsPage) -> pagination.Page:
        """Hand over the rows, and move on to the next page or the next list."""
        clocked = [row.last_event_at for row in page.positions if row.last_event_at]
        self._move(page, clocked)
        self._barren.count(page.fetched_rows, page.rejected)
        rows: list[list[records.Position] | list[records.Rejected] | list[records.PositionsEnd]]
        rows = [page.positions, page.rejected]
        if self.ended and not self._cursor.rejected:
            second = self._cursor.began_ms[0] // 1000
            end = records.PositionsEnd(self._wallet, second, _version(self._cursor.began))
            rows.append([end])
        restarted, self._has_restarted = self._has_restarted, False
        return pagination.Page(
            rows=tuple(rows),
            resume=self.resume,
            last=self.ended,
            fetched_rows=page.fetched_rows,
            first_second=min(clocked, default=None),
            last_second=max(clocked, default=None),
            unknown_fields=page.unknown_fields,
            restarted=restarted,
        )

    def _start_list(self) -> PositionsCursor:
        """The cursor, with the moment in which its list was begun. No two requests share one."""
        self._request_tick = max(self._request_tick + 1, self._clock.tick())
        self._request_ms = int(self._clock.now() * 1000)
        cursor = self._cursor
        if len(cursor.began_ms) == cursor.done:
            began_ms = (*cursor.began_ms, self._request_ms)
            began = cursor.began or self._request_tick
            cursor = msgspec.structs.replace(cursor, began_ms=began_ms, began=began)
            self._cursor = cursor = msgspec.structs.replace(cursor, since=_since(cursor))
        return cursor

    def _move(self, page: position_parser.PositionsPage, clocked: list[int]) -> None:
        next_cursor = page.next_cursor
        pages = self._cursor.pages + 1
        self._pages += 1
        cursor = msgspec.structs.replace(
            self._cursor,
            pages=pages,
            page_cursor=next_cursor,
            clock=clocked[-1] if clocked else self._cursor.clock,
            newest=max((self._cursor.newest, *clocked)),
            largest=max(self._cursor.largest, pages),
            rejected=self._cursor.rejected + len(page.rejected),
            request_tick=self._request_tick,
            request_ms=self._request_ms,
        )
        if next_cursor is None:
            cursor = msgspec.structs.replace(cursor, done=cursor.done + 1)
            self.ended = _is_complete(cursor)
            cursor = msgspec.structs.replace(cursor, pages=0, clock=0)
            self._seen_cursors.clear()
        else:
            self._seen_cursors.append(next_cursor)
        self._cursor = cursor

    def _check(self, page: position_parser.PositionsPage, cursor: PositionsCursor) -> None:
        path = endpoints.POSITIONS.path
        following = page.next_cursor
        if following is not None and (
            following == cursor.page_cursor or following in self._seen_cursors
        ):
            raise errors.Retry(f"{path}: the list repeats a cursor")
        if {row.wallet_address for row in page.positions} - {self._wallet}:
            raise errors.Retry(f"{path}: rows of another wallet")
        if {row.status for row in page.positions} & FOREIGN[cursor.status]:
            raise errors.Retry(f"{path}: rows that are not {cursor.status}")
        if following is None and not cursor.pages:
            return  # the whole list at one moment: nothing can hide, in whatever order
        order = [cursor.clock, *(row.last_event_at for row in page.positions)]
        order = [second for second in order if second]
        if order != sorted(order):
            raise errors.Retry(f"{path}: rows are out of order")


def _since(cursor: PositionsCursor) -> int | None:
    """Where the present list is read from: the first two from their beginning, the others from
    before the beginning of the list two before them: since then its change of lists has happened.

    In the source's own time, whatever our clock says: the newest event seen is not in its future.
    A clock that was set back meanwhile tells nothing: then from the beginning.
    """
    if cursor.done < len(LISTS):
        return None
    elapsed_ms = cursor.began_ms[-1] - cursor.began_ms[cursor.done - 2]
    if elapsed_ms < 0:
        return None
    return max(1, cursor.newest - (elapsed_ms // 1000 + 1) - LAG_S)


def _is_complete(cursor: PositionsCursor) -> bool:
    """Nothing can have been missed any more, but for what the module's first lines name.

    `cursor.pages` is the length of the list that has just ended.
    """
    if cursor.done < len(LISTS):
        return False
    if cursor.done > len(LISTS):
        return cursor.pages == 1 or cursor.done >= MAX_LISTS
    began_s = cursor.began_ms[0] / 1000
    took_s = cursor.request_ms / 1000 - began_s
    return cursor.largest == 1 and 0 <= took_s < SHORT_S and cursor.newest < began_s - QUIET_S


def _parse_cursor(resume: pagination.Resume | None) -> PositionsCursor:
    """The cursor a Resume carries; the beginning when it carries none."""
    if resume is None or resume.cursor is None:
        return PositionsCursor()
    try:
        return msgspec.json.decode(resume.cursor, type=PositionsCursor)
    except msgspec.MsgspecError:
        return PositionsCursor()


def _version(tick: int) -> int:
    """As in `records.Position`: odd, so that a deletion just below it stays free."""
    return 2 * tick + 1
