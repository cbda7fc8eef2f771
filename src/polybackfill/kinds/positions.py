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

from collections.abc import AsyncIterator

import msgspec

from polybackfill import clocks, errors, records
from polybackfill.kinds import key_source, proof, size, stored_table, wallets
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import (
    cursor_refusal,
    endpoints,
    pagination,
    position_parser,
    v2_envelope,
)
from polybackfill.store import backlog_counts, client

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


def walk_unit(
    keys: tuple[str, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """The positions of one wallet (40 hex digits).

    The last page carries a PositionsEnd. Raises what `pagination.follow` does.
    """
    (wallet,) = keys
    return pagination.follow(_PositionsSweep(wallet, context.clock), resume, context)


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


class _PositionsSweep(pagination.Strategy[v2_envelope.ParsedRows[records.Position]]):
    """A walk through the lists of a wallet."""

    def __init__(self, wallet: str, clock: clocks.Clock) -> None:
        self.route = endpoints.POSITIONS
        self.feeds = ("".join(build_query(wallet, status).fingerprint for status in LISTS),)
        self._wallet = wallet
        self._clock = clock
        self._refusals = cursor_refusal.CursorRefusalPolicy()
        self._state = PositionsCursor()

    def begin(self, resume: pagination.Resume) -> None:
        self.resume = resume
        state = _parse_cursor(resume)
        tick = max(state.request_tick, self._state.request_tick)
        self._state = msgspec.structs.replace(state, request_tick=tick)
        self.cursor = state.page_cursor
        self._pages = 0

    def next_query(self) -> pagination.FeedQuery:
        """The query of the next request. Also notes when it is sent, and when its list began.

        No two requests share a tick.
        """
        state = msgspec.structs.replace(
            self._state,
            request_tick=max(self._state.request_tick + 1, self._clock.tick()),
            request_ms=int(self._clock.now() * 1000),
        )
        if len(state.began_ms) == state.done:
            began_ms = (*state.began_ms, state.request_ms)
            began = state.began or state.request_tick
            state = msgspec.structs.replace(state, began_ms=began_ms, began=began)
            state = msgspec.structs.replace(state, since=_since(state))
        self._state = state
        query = build_query(self._wallet, state.status, state.since)
        return query.with_page_size(self._refusals.page_rows)

    def read(
        self, body: bytes, source: pagination.Source
    ) -> v2_envelope.ParsedRows[records.Position]:
        state = self._state
        page = position_parser.page(
            body,
            source,
            status=state.status,
            timestamp=state.began_ms[0] // 1000,
            version=_version(state.request_tick),
        )
        path = self.route.path
        if {row.wallet_address for row in page.rows} - {self._wallet}:
            raise errors.Retry(f"{path}: rows of another wallet")
        if {row.status for row in page.rows} & FOREIGN[state.status]:
            raise errors.Retry(f"{path}: rows that are not {state.status}")
        # A whole list at one moment hides nothing, in whatever order.
        order = [second for second in (state.clock, *page.seconds) if second]
        if order != sorted(order) and (page.next_cursor is not None or state.pages):
            raise errors.Retry(f"{path}: rows are out of order")
        return page

    def advance(self, page: v2_envelope.ParsedRows[records.Position]) -> pagination.Rows:
        """Move on to the next page or the next list; the last page also brings the end."""
        state = _state_behind(self._state, page)
        self._pages += 1
        self.cursor = page.next_cursor
        is_over = self.cursor is None and _is_complete(state)
        if self.cursor is None:
            state = msgspec.structs.replace(state, pages=0, clock=0)
        self._state = state
        if not is_over:
            cursor = msgspec.json.encode(state).decode()
            self.resume = pagination.Resume(cursor, feed=self.resume.feed)
            return page.rows, page.rejected
        self.resume = pagination.Resume(feed=self.resume.feed, ended=True)
        if state.rejected:
            return page.rows, page.rejected
        began_s = state.began_ms[0] // 1000
        end = records.PositionsEnd(self._wallet, began_s, _version(state.began))
        return page.rows, page.rejected, [end]

    async def recover(
        self, refusal: pagination.Refusal, answers_first_page: pagination.FirstPageCheck
    ) -> pagination.Recovery:
        return self._refusals.recover(refusal, self.cursor, self._pages or None)


def _state_behind(
    state: PositionsCursor, page: v2_envelope.ParsedRows[records.Position]
) -> PositionsCursor:
    """Where the reading stands after a page. `pages` and `clock` are still those of its list."""
    pages = state.pages + 1
    return msgspec.structs.replace(
        state,
        pages=pages,
        page_cursor=page.next_cursor,
        clock=page.seconds[-1] if page.seconds else state.clock,
        newest=max((state.newest, *page.seconds)),
        largest=max(state.largest, pages),
        rejected=state.rejected + len(page.rejected),
        done=state.done + (page.next_cursor is None),
    )


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


def _parse_cursor(resume: pagination.Resume) -> PositionsCursor:
    """The cursor a Resume carries; the beginning when it carries none."""
    try:
        return msgspec.json.decode(resume.cursor or "{}", type=PositionsCursor)
    except msgspec.MsgspecError:
        return PositionsCursor()


def _version(tick: int) -> int:
    """As in `records.Position`: odd, so that a deletion just below it stays free."""
    return 2 * tick + 1


_BYTES = 90  # on disk, measured
# 9 at the median (published data set of 2.9 million wallets, mid-2026).
_PER_WALLET = 20

_LOST = """
SELECT concat('positions of 0x', wallet_address) AS lost, positions AS landed, found AS stored
FROM (SELECT wallet_address, positions FROM ingested_positions FINAL) AS landed
LEFT JOIN (
    SELECT wallet_address, count() AS found FROM api_positions_staging GROUP BY wallet_address
) AS stored USING (wallet_address)
WHERE found < positions
SETTINGS join_use_nulls = 0
"""
# Each complete reading of a wallet leaves a row, also when the wallet holds nothing.
_LOST_UNITS = f"""
SELECT DISTINCT unit FROM {{units}}
WHERE kind = 'positions' AND state = 'done'
    AND (key NOT IN (SELECT wallet_address FROM ingested_positions)
        OR concat('positions of 0x', key) IN (SELECT lost FROM ({_LOST})))
"""
_TABLE = stored_table.StoredTable(
    rows=(records.Position, records.PositionsEnd),
    inserted="api_positions_landing",
    stored="api_position_rows",
    shown="api_positions_staging",
    key="(wallet_address, condition_id, outcome, asset_id)",
    version="intDiv(max(version), 2)",  # twice the tick, and one more
    digest=stored_table.Digest(
        "positions",
        "concat(wallet_address, '|', condition_id, '|', toString(outcome), '|', asset_id, '|', "
        "if(status = 'CLOSED', 'CLOSED', 'OPEN'), '|', "
        "toString(toInt64(round(if(abs(size) < 1e12, size, 0) * 1e6))))",
    ),
    noted_counts=stored_table.NotedCounts(
        "positions",
        "ingested_positions",
        "SELECT sum(positions) FROM ingested_positions FINAL",
        _LOST,
    ),
)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    holders = ahead.planned_wallets
    return size.Size(holders, KIND.requests(holders), _PER_WALLET * holders, _BYTES)


KIND = unit_kind.Kind(
    name="positions",
    route=endpoints.POSITIONS,
    walk=unit_kind.by_keys(walk_unit),
    lists=2,  # a third only for who had an event within a day, few of all wallets
    keys=key_source.PlannedWallets(add=wallets.add_traders),
    key_flag="wallets",
    needed_for=("wallets",),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        "SELECT wallet_address AS key FROM wallet_backfill_plan WHERE status != 'skip'",
        lost_units=_LOST_UNITS,
    ),
)
