"""One daemon's part in a job that several share: it lives, claims its shards, and looks at others.

All of this stands in the store (`store.job_tables`). A daemon renews its place at a third of its
lease, as long as its work gets anywhere; one that was taken over finds out before it writes
anything, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from polybackfill import clocks, errors
from polybackfill.engine import job_shards, running_part
from polybackfill.filesystem import lock
from polybackfill.reports import job_figures, progress_line
from polybackfill.run import job_takeover
from polybackfill.store import job_tables

log = structlog.get_logger()

_PLAN = "plan"
_POLL_S = 0.2
_LOOKS_PER_LEASE = 20
_LOOK_S = (0.5, 3.0)
_RENEWALS_PER_LEASE = 3
_WRITE_S = 10.0  # a renewal or a look that takes longer is tried again

Facts = Callable[[], Mapping[str, object]]


class Work:
    """What the job asks of the run, once it has its parts. `claims`: it wants shards, and does not
    end; `is_moving`: it gets anywhere; `busy`: shards of a kind with units in the queue;
    `sync_plan`: writes ends into the plan tables; `facts`: what it tells the others.
    """

    def __init__(
        self,
        *,
        claims: Callable[[], bool],
        is_moving: Callable[[], bool],
        busy: Callable[[job_shards.KindShards], set[int]],
        sync_plan: Callable[[], Awaitable[None]],
        facts: Facts,
    ) -> None:
        self.claims = claims
        self.is_moving = is_moving
        self.busy = busy
        self.sync_plan = sync_plan
        self.facts = facts


class JobMember:
    """This daemon in its job. `store` is its own connection; `job` the job as it was joined."""

    def __init__(
        self,
        tables: job_tables.JobTables,
        job: job_tables.Job,
        counts: Mapping[str, int],
        *,
        lease_s: float,
        run_name: str,
        clock: clocks.Clock,
    ) -> None:
        self.job = job
        self.name = f"{run_name}-{secrets.token_hex(4)}"
        self.shards = job_shards.JobShards(self.name, counts, clock)
        self.tables = tables
        self._take_over = job_takeover.TakeOver(tables, self.name, lease_s)
        self._lease_s = lease_s
        self._clock = clock
        self._members: list[job_tables.Member] = []
        self._renewed_at = 0.0
        self._trouble = ""
        self._lost: errors.Stop | None = None
        self.work: Work | None = None

    async def enter(self, process: lock.Owner) -> None:
        """Become a member, that `process`. Raises errors.Retry while Keeper is away, and where the
        next round has begun meanwhile.
        """
        counts = {kind: shards.count for kind, shards in self.shards.kinds.items()}
        await self.tables.add_shards(self.job, {**counts, job_tables.POST_RUN: 1})
        began_at = clocks.awake_s()
        await self.tables.enter(self.job.name, self.name, process, self._lease_s)
        self._renewed_at = began_at
        await self._look()

    async def leave(self) -> None:
        """Tell what came of it, end what still runs on the server, and let go of everything."""
        if self.work is not None:
            await self.tables.renew(self.name, self._lease_s, self.work.facts())
        await self.tables.retire(self.name)

    async def keep(self) -> None:
        """Renew, look and claim for ever; what goes wrong shows at the next `confirm`."""
        shortest_s, longest_s = _LOOK_S
        pause_s = min(longest_s, max(shortest_s, self._lease_s / _LOOKS_PER_LEASE))
        retiring: asyncio.Task[None] | None = None
        try:
            while self._lost is None:
                await self._clock.sleep(pause_s)
                try:
                    await self._renew_if_due()
                    if await self._claim(await self._look()):
                        await self._look()
                    self._trouble = ""
                except errors.Retry as error:
                    if not self._trouble:
                        log.warning("job.retry", job=self.job.name, error=str(error))
                    self._trouble = str(error)
                    self._take_over.forget()
                except errors.Stop as error:
                    self._lost = error
                if (retiring is None or retiring.done()) and not self._trouble:
                    # Beside: what runs on the server may take half a minute to end.
                    taking_over = self._take_over.run(self._members)
                    retiring = asyncio.create_task(taking_over, name="job take-over")
        finally:
            if retiring is not None:
                retiring.cancel()
                await asyncio.gather(retiring, return_exceptions=True)

    def require_all(self, held_back: Mapping[str, str]) -> None:
        """Raise errors.Stop (exit 75) where parts are held back: nobody else would do this daemon's
        share of them.
        """
        if held_back:
            reasons = "; ".join(f"{kind}: {why}" for kind, why in held_back.items())
            raise errors.Stop(
                f"a daemon of job {self.job.name} needs every part, and some are held back here "
                f"({reasons}): see polybackfill doctor --probe",
                exit_code=errors.EXIT_UNAVAILABLE,
            )

    async def check(self) -> None:
        """Raise errors.Stop (exit 75) when the job has gone on without this daemon."""
        if self._lost is not None:
            raise self._lost

    async def confirm(self) -> None:
        """Return if this daemon is a member still; to be called before anything is written.

        Raises as `check` does, and errors.Retry while Keeper is away and the lease is half over.
        """
        await self.check()
        if clocks.awake_s() - self._renewed_at > self._lease_s / 2:
            await self._renew()

    @property
    def hosts(self) -> int:
        """How many daemons work on the job now."""
        return max(1, sum(one.state == job_tables.ALIVE for one in self._members))

    @property
    def leads(self) -> bool:
        """Of several that could do the same, this one does."""
        alive = [one.name for one in self._members if one.state == job_tables.ALIVE]
        return not alive or min(alive) == self.name

    @property
    def rows_elsewhere(self) -> int:
        """Rows that the other daemons have stored, as far as they told."""
        others = (one.facts.get("rows", 0) for one in self._members if one.name != self.name)
        return sum(rows for rows in others if isinstance(rows, int))

    def waits_for(self) -> str | None:
        """What this daemon waits for when it has nothing to do; None when that is nothing."""
        if self._trouble:
            return f"Keeper, for job {self.job.name}: {self._trouble}"
        if all(shards.all_done for shards in self.shards.kinds.values()):
            return None
        return f"the other daemons of job {self.job.name}"

    def describe(self) -> dict[str, Any]:
        """The job and its members, for views."""
        return {
            "name": self.job.name,
            "member": self.name,
            "round": self.job.round,
            "began_at": self.job.began_at,
            "trouble": self._trouble,
            "shards": {
                kind: {
                    "in_all": shards.count,
                    "done": shards.count - shards.open_count,
                    "mine": len(shards.mine),
                    "keys": shards.keys,
                }
                for kind, shards in self.shards.kinds.items()
            },
            **job_figures.describe_totals(self._members, self.job.round),
            "members": job_figures.describe_members(self._members),
        }

    async def one_at_a_time(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do what must not be done by two daemons at once. Raises what `step` raises."""
        name = f"{self.job.name} {_PLAN}"
        while not await self.tables.claim_slices(self.name, [name], 1):
            await self._clock.sleep(_POLL_S)
        try:
            await step()
        finally:
            await self.tables.release_slices(self.name, [name])

    async def leads_post_run(self, alive: Callable[[], Awaitable[None]]) -> bool:
        """Whether this daemon makes the last steps of the job; False once another has made them.

        `alive` is called again and again meanwhile.
        """
        while True:
            await self.check()
            with contextlib.suppress(errors.Retry):
                shards = (await self.tables.shards(self.job)).get(job_tables.POST_RUN)
                if shards is None or shards.all_done:  # none: the next round has begun
                    return False
                states = {one.name: one.state for one in await self.tables.members(self.job.name)}
                owner = shards.owners[0]
                if owner == self.name:
                    return True
                if states.get(owner, job_tables.GONE) == job_tables.GONE:
                    await self.tables.change_shards(shards, [self.name], [False])
                    continue  # and look who has it now
            await alive()
            await self._clock.sleep(1.0)

    async def finish_post_run(self) -> None:
        """They are made: every daemon of the job ends."""
        shards = (await self.tables.shards(self.job)).get(job_tables.POST_RUN)
        if shards is not None:
            await self.tables.change_shards(shards, [""], [True])

    async def _renew_if_due(self) -> None:
        work = self.work
        if work is not None and not work.is_moving():
            return  # a daemon that gets nowhere loses its place
        if clocks.awake_s() - self._renewed_at > self._lease_s / _RENEWALS_PER_LEASE:
            await self._renew()

    async def _renew(self) -> None:
        began_at = clocks.awake_s()
        facts = self.work.facts() if self.work is not None else {}
        async with _answered_in_time():
            lives = await self.tables.renew(self.name, self._lease_s, facts)
        if not lives:
            self._lost = errors.Stop(
                f"job {self.job.name} has gone on without this daemon, which did not renew its "
                f"place for {self._lease_s:g} s; what it had stored is recorded. Start again to "
                "join the job anew",
                exit_code=errors.EXIT_UNAVAILABLE,
            )
            raise self._lost
        self._renewed_at = began_at

    async def _look(self) -> Mapping[str, job_tables.Shards]:
        """Who is there, and who works on what."""
        async with _answered_in_time():
            self._members = await self.tables.members(self.job.name)
            shards = await self.tables.shards(self.job)
        self.shards.see(shards)
        return shards

    async def _claim(self, seen: Mapping[str, job_tables.Shards]) -> bool:
        """Bring this daemon's part in line with what was `seen`; whether anything was changed."""
        if self.work is None or not self.work.claims():
            return False
        states = {one.name: one.state for one in self._members}
        is_changed = False
        for kind, shards in seen.items():
            mine = self.shards.kinds.get(kind)
            if mine is None or shards.all_done:
                continue
            owners, is_done = self.shards.plan_change(shards, states, self.work.busy(mine))
            if (tuple(owners), tuple(is_done)) == (shards.owners, shards.is_done):
                continue
            if any(owners[number] != self.name for number in mine.mine):
                await self.work.sync_plan()  # who comes next reads there what is done
            await self.tables.change_shards(shards, owners, is_done)
            is_changed = True
        return is_changed


@contextlib.asynccontextmanager
async def _answered_in_time() -> AsyncIterator[None]:
    """Raises errors.Retry where the store is silent: a network that is gone says nothing."""
    try:
        async with asyncio.timeout(_WRITE_S):
            yield
    except TimeoutError as error:
        raise errors.Retry(f"the store was silent for {_WRITE_S:.0f} s") from error


def pick_facts(
    picture: Mapping[str, Any],
    parts: Mapping[str, running_part.RunningPart],
    job: JobMember,
) -> dict[str, object]:
    """What a daemon tells the others of its run, from its newest picture and its queues."""
    counts = {kind: part.queue.stats() for kind, part in parts.items()}
    facts = job_figures.MemberFacts(
        at=picture["now"],
        round=job.job.round,
        keys_done=sum(one["done"] for one in counts.values()),
        keys_in_error=sum(_in_error(one) for one in counts.values()),
        rows=progress_line.rows(dict(picture)),
        rows_per_s=picture["rows_per_s"],
        requests_per_s=picture["requests_per_s"],
        eta_s=picture["eta_s"],
        parts={
            kind: job_figures.PartFacts(
                keys=job.shards.kinds[kind].keys,
                open=one["leased"],
                error=_in_error(one),
                requests_per_s=picture["parts"][kind]["requests_per_s"],
                eta_s=picture["parts"][kind]["eta_s"],
            )
            for kind, one in counts.items()
        },
    )
    named: dict[str, object] = msgspec.to_builtins(facts)
    return named


def _in_error(counts: Mapping[str, int]) -> int:
    """Keys, of this run or of an earlier one of the same checkpoint."""
    return counts["error"] + counts["skipped_error"]
