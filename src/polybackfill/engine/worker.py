"""One unit: from where it stands to the end its feed declares, or to an error class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog

from polybackfill import clocks, errors, formats, records, units, worker_progress
from polybackfill.engine import (
    market_id_cache,
    source_lag,
    store_writer,
    unit_queue,
)
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import http, market_lookup, pagination, retry

log = structlog.get_logger()

_OUTAGE_S = 30.0  # no answer from a host for so long is the host's failure, not the unit's
_AGAIN_S = 5.0  # a unit given back is not taken again at once
# From this share of its rows on a unit ends in error: most of what it was to bring is not there, as
# after a release of the API that writes a field in another form.
_ERROR_SHARE = 0.5


class Pacer:
    """Lets one unit start every `interval_s` seconds, whatever the number of workers."""

    def __init__(self, interval_s: float, clock: clocks.Clock) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._next_at = 0.0

    async def wait(self, progress: worker_progress.Progress) -> None:
        """Return when it is this unit's turn; the wait is declared."""
        now = self._clock.monotonic()
        wait_s, self._next_at = self._next_at - now, max(now, self._next_at) + self._interval_s
        if wait_s > 0:
            with progress.waiting("pace"):
                await self._clock.sleep(wait_s)


@dataclass
class FetchCounts:
    """What a part has fetched since the run began. `unknown_fields`: rows with such a field."""

    pages: int = 0
    rows: int = 0
    set_aside: int = 0
    unknown_fields: dict[str, int] = field(default_factory=dict)

    def add(self, page: pagination.Page, set_aside: int) -> None:
        """Count a page, `set_aside` of whose rows could not be read."""
        self.pages += 1
        self.rows += page.fetched_rows
        self.set_aside += set_aside
        for name, count in page.unknown_fields.items():
            if name not in self.unknown_fields:
                log.warning("source.unknown_field", field=name)
            self.unknown_fields[name] = self.unknown_fields.get(name, 0) + count


def _count_rejected(rejected: Iterable[records.Rejected]) -> int:
    """Rows that could not be read. A condition nobody knows is noted beside them, and is no row."""
    return sum(row.reason != market_lookup.UNKNOWN for row in rejected)


class _RejectedShare:
    """Rows of one unit, read and set aside. `before`: what earlier attempts have stored of it."""

    def __init__(self, before: units.Counts) -> None:
        self._rows = before.rows + before.rejected
        self._aside = before.rejected
        self._reasons: Counter[str] = Counter()

    def add(self, page: pagination.Page) -> int:
        """Count a page; how many of its rows were set aside."""
        if page.restarted:
            self._rows = self._aside = 0
            self._reasons.clear()
        rejected = page.rows_of(records.Rejected)
        aside = _count_rejected(rejected)
        self._rows += page.fetched_rows
        self._aside += aside
        self._reasons.update(row.reason for row in rejected if row.reason != market_lookup.UNKNOWN)
        return aside

    def check(self) -> None:
        """Raises GiveUp when so many rows were set aside that the unit is not done."""
        if self._aside and self._aside >= _ERROR_SHARE * self._rows:
            why = ", ".join(f"{reason} ({n:,})" for reason, n in self._reasons.most_common(3))
            raise errors.GiveUp(
                f"{self._aside:,} of {formats.counted(self._rows, 'row')} set aside: "
                f"{why}; see polybackfill "
                "quarantine list"
            )


class UnitRunner:
    """What every worker of one part does with a lease."""

    def __init__(
        self,
        kind: unit_kind.Kind,
        *,
        client: http.Client,
        buffer: store_writer.WriteBuffer,
        queue: unit_queue.Queue,
        pacer: Pacer,
        retries: retry.PageRetries,
        clock: clocks.Clock,
        lag: source_lag.SourceLag,
        market_ids: market_id_cache.MarketIdCache | None = None,
    ) -> None:
        self._kind = kind
        self._client = client
        self._buffer = buffer
        self._queue = queue
        self._pacer = pacer
        self._retries = retries
        self.clock = clock
        self.lag = lag
        self._market_ids = market_ids
        self.counts = FetchCounts()

    async def run_unit(self, lease: unit_queue.Lease, progress: worker_progress.Progress) -> None:
        """Walk the lease's unit; what goes wrong with the unit ends here, in the queue."""
        await self._pacer.wait(progress)
        try:
            await self._check_host(progress)
            await self._walk(lease, progress)
        except errors.Retry as error:
            self._give_back(lease, error)
        except errors.GiveUp as error:
            self._queue.fail(lease, str(error))
        except errors.Stop:
            raise
        except Exception as error:
            # One page that our code cannot take must not cost the night of all the others.
            log.exception("unit.broken", unit=lease.unit.id, doing=progress.doing)
            self._queue.fail(lease, f"a fault of this program: {error!r}")

    def is_outage(self, lease: unit_queue.Lease) -> bool:
        """The host, not the unit, is at fault: it has answered nobody since the lease was taken."""
        route = self._kind.route
        silent = self._client.answers.silent_s(route) > _OUTAGE_S
        return silent and self._client.answers.answered_at(route) < lease.taken_at

    async def _check_host(self, progress: worker_progress.Progress) -> None:
        """After a long silence ask what any healthy host answers; raises Retry in an outage.

        A unit that fails after that answer fails by itself, even if it is the last one left.
        """
        route = self._kind.route
        if self._client.answers.silent_s(route) <= _OUTAGE_S:
            return
        progress.doing = f"asking whether {route.name} answers"
        await self._client.prove(route, progress)

    async def _walk(self, lease: unit_queue.Lease, progress: worker_progress.Progress) -> None:
        resume = None if lease.resume is None else msgspec.convert(lease.resume, pagination.Resume)
        context = self._request_context(lease, progress)
        unit = lease.unit
        share = _RejectedShare(lease.counts)
        async for page in self._kind.walk(unit, resume, context):
            self.counts.add(page, share.add(page))
            if self._market_ids is not None:
                self._market_ids.fill(page.rows)
            await self._hand_over(lease, page, share, progress)
            del page  # its rows are three times the encoded page, and the store may keep us waiting
            progress.mark("page")

    async def _hand_over(
        self,
        lease: unit_queue.Lease,
        page: pagination.Page,
        share: _RejectedShare,
        progress: worker_progress.Progress,
    ) -> None:
        """The page to the batch; raises GiveUp behind the last one of a unit that is not done."""
        refusal: errors.GiveUp | None = None
        if page.last:
            try:
                share.check()
            except errors.GiveUp as error:
                refusal = error
        end = await self._end(progress) if page.last else None
        page_batch = build_page_batch(lease, page, end, is_end=page.last and refusal is None)
        del page
        if page_batch is not None:
            await self._buffer.add(page_batch, progress)
            if page_batch.last and self._kind.is_followed:
                await self._buffer.flush_soon()  # the next window waits for it
        if refusal is not None:
            raise refusal

    async def _end(self, progress: worker_progress.Progress) -> units.FeedEnd:
        """The end of the feed was seen at this moment."""
        second = int(self.clock.now())
        lag_s = await self.lag.read_lag_s(self._kind.route, progress)
        clock = self.clock
        confirmed = isinstance(clock, clocks.SourceClock) and clock.is_confirmed
        return units.FeedEnd(second=second, lag_s=lag_s, confirmed=confirmed)

    async def fetch(
        self,
        feed: pagination.FeedQuery,
        cursor: str | None,
        lease: unit_queue.Lease,
        progress: worker_progress.Progress,
    ) -> http.Response:
        """One request of a walk."""
        progress.doing = f"{feed.route.path} {lease.unit.id}"
        query = (
            feed.request_params(cursor)
            if cursor is not None
            else self._fresh(feed.request_params(None))
        )
        return await self._client.get(feed.route, query, progress)

    async def with_retries(
        self, attempt: pagination.Attempt[pagination.Result], progress: worker_progress.Progress
    ) -> pagination.Result:
        """What an attempt for one page brings, after as many tries as it may take."""

        async def understood() -> pagination.Result:
            try:
                result = await attempt()
            except errors.Retry as error:
                if error.unreadable:
                    self._client.answers.note_unreadable(self._kind.route)
                raise
            self._client.answers.note_understood(self._kind.route)
            return result

        return await self._retries.run(understood, progress)

    def _request_context(
        self, lease: unit_queue.Lease, progress: worker_progress.Progress
    ) -> pagination.RequestContext:
        """What one walk is given: this worker's way to fetch, for this lease."""

        async def with_retries(
            attempt: pagination.Attempt[pagination.Result],
        ) -> pagination.Result:
            return await self.with_retries(attempt, progress)

        fetch = partial(self.fetch, lease=lease, progress=progress)
        return pagination.RequestContext(fetch, self.clock, lease.unit.id, with_retries)

    def _fresh(self, query: pagination.Params) -> pagination.Params:
        """The edge keeps first pages for up to 300 s (seen on /v2/trades, 2026-10); a parameter it
        has not seen gets a fresh one, and the API ignores it.
        """
        return (*query, (pagination.FRESH, str(self.clock.tick())))

    def _give_back(self, lease: unit_queue.Lease, error: errors.Retry) -> None:
        if error.split and units.can_split(lease.unit):
            log.warning("unit.split", unit=lease.unit.id, error=str(error))
            self._queue.split(lease)
            return
        outage = error.host_fault or self.is_outage(lease)
        # Of a host that is out hundreds of units say the same, every few seconds; `route.out` says
        # it for all of them.
        (log.debug if outage else log.warning)(
            "unit.retry",
            unit=lease.unit.id,
            attempt=lease.attempt,
            outage=outage,
            error=str(error),
        )
        self._queue.give_back(
            lease,
            not_before=self.clock.monotonic() + _AGAIN_S,
            error=str(error),
            count_attempt=not outage,
        )


def build_page_batch(
    lease: unit_queue.Lease,
    page: pagination.Page,
    end: units.FeedEnd | None,
    *,
    is_end: bool,
) -> store_writer.PageBatch | None:
    """The encoded page, with the feed's `end` if this is its last; None when it releases nothing
    and ends nothing. `is_end`: the unit is done with it.
    """
    lines: dict[str, bytes] = {}
    rows: dict[str, int] = {}
    for page_rows in filter(None, page.rows):
        table = store_writer.find_table(page_rows)
        lines[table] = lines.get(table, b"") + records.encode_lines(page_rows)
        rows[table] = rows.get(table, 0) + len(page_rows)
    if not (rows or page.last or page.restarted):
        return None  # everything is held back: the place to resume from has not moved
    return store_writer.PageBatch(
        lease=lease,
        lines=lines,
        rows=rows,
        resume=page.resume,
        last=is_end,
        first_second=page.first_second,
        last_second=page.last_second,
        restarted=page.restarted,
        marks=len(page.rows_of(records.Mark)) if page.last else 0,
        set_aside=_count_rejected(page.rows_of(records.Rejected)),
        end=end,
    )
