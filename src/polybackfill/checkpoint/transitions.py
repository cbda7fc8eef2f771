"""What the ledger writes down: one record for each change of a unit, and what it leads to.

Every record here is a line of JSON on disk, so a changed field is a new schema version
(`polybackfill.checkpoint.journal.VERSION`). Seconds are epoch seconds, `at` is UTC as ISO 8601.
"""

from __future__ import annotations

import msgspec

from polybackfill import units

Resume = dict[str, object]
"""Where a walk goes on, as the walk wrote it; the ledger does not look inside."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows stored, pages read, rows in quarantine, and the first and last second seen."""

    rows: int = 0
    pages: int = 0
    rejected: int = 0
    first_second: int | None = None
    last_second: int | None = None

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        firsts = [at for at in (self.first_second, more.first_second) if at is not None]
        lasts = [at for at in (self.last_second, more.last_second) if at is not None]
        return Counts(
            rows=self.rows + more.rows,
            pages=self.pages + more.pages,
            rejected=self.rejected + more.rejected,
            first_second=min(firsts, default=None),
            last_second=max(lasts, default=None),
        )


NOTHING = Counts()


class FeedEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a feed as it was seen: in which second, and how many seconds the source said then
    that it lies behind the chain, None where it does not say. `confirmed`: the second is the
    source's own; else this machine's, which may be wrong by years.
    """

    second: int
    lag_s: float | None = None
    confirmed: bool = False


class OpenUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that was begun and has not ended.

    `attempt` grows with every begin and fences off the attempts before it. `errors` and
    `interruptions` (the process died under it) count since it last got somewhere, `errors` since
    it got further than the `furthest` pages its walk had before it restarted; `errors_total` never
    goes back. `not_before`: epoch seconds, 0 = at once.
    """

    unit: units.Unit
    attempt: int = 0
    in_flight: bool = False
    resume: Resume | None = None
    counts: Counts = NOTHING
    errors: int = 0
    errors_total: int = 0
    furthest: int = 0
    interruptions: int = 0
    not_before: float = 0.0
    error: str = ""
    at: str = ""


class FailedUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that ended in error, with the message. `passing`: its attempts were used up by trouble
    of the kind that passes, so a later run may try again.
    """

    seq: int
    unit: units.Unit
    attempts: int
    error: str
    counts: Counts
    at: str
    passing: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A finished unit: its feed ended and the store acknowledged every row.

    `partial`: some of its keys were forgotten since, so `counts` speaks of more than `unit`.
    """

    seq: int
    unit: units.Unit
    attempts: int
    counts: Counts
    at: str
    partial: bool = False
    end: FeedEnd | None = None


class Transition(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """One line of the journal. `seq` grows by one from line to line, across all its files."""

    seq: int
    at: str


class Begin(Transition, frozen=True, kw_only=True, tag="begin"):
    """A worker took the unit."""

    unit: units.Unit
    attempt: int


class Advance(Transition, frozen=True, kw_only=True, tag="advance"):
    """Everything before `resume` is stored; `counts` are the unit's totals up to there."""

    id: str
    attempt: int
    resume: Resume | None
    counts: Counts


class Restart(Transition, frozen=True, kw_only=True, tag="restart"):
    """The walk begins again at its first page."""

    id: str
    attempt: int


class GiveBack(Transition, frozen=True, kw_only=True, tag="give_back"):
    """The unit was let go before its end; `fenced`: what its worker still sends is refused."""

    id: str
    attempt: int
    counted: bool
    fenced: bool
    not_before: float
    error: str


class Interrupted(Transition, frozen=True, kw_only=True, tag="interrupted"):
    """The process that held the unit died."""

    id: str
    attempt: int


class Finish(Transition, frozen=True, kw_only=True, tag="finish"):
    """The end is proven and stored; `counts` are the unit's totals."""

    id: str
    attempt: int
    counts: Counts
    end: FeedEnd | None = None


class Fail(Transition, frozen=True, kw_only=True, tag="fail"):
    """The unit ended in error; `passing`: by trouble of the kind that passes."""

    id: str
    attempt: int
    error: str
    passing: bool = False


class Reopen(Transition, frozen=True, kw_only=True, tag="reopen"):
    """A unit in error is as if never seen, but for the number of its attempts."""

    id: str


class Split(Transition, frozen=True, kw_only=True, tag="split"):
    """Two halves take the unit's place."""

    id: str
    attempt: int
    halves: tuple[units.Unit, units.Unit]


class Forget(Transition, frozen=True, kw_only=True, tag="forget"):
    """These keys (None: all of the kind) are as if never seen."""

    kind: str
    keys: tuple[str, ...] | None


class PlanSynced(Transition, frozen=True, kw_only=True, tag="plan_synced"):
    """The plan table in the store shows every end up to `upto`."""

    upto: int


AnyTransition = (
    Begin
    | Advance
    | Restart
    | GiveBack
    | Interrupted
    | Finish
    | Fail
    | Reopen
    | Split
    | Forget
    | PlanSynced
)
End = Receipt | FailedUnit
