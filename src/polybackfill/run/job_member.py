"""One daemon's part in a job that several share: it joins, lives, claims its shards, and leaves.

All of this stands in the store (`store.job_tables`). A daemon renews its place at a third of its
lease, as long as its work gets anywhere; one that was taken over finds out before it writes
anything, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from polybackfill import clocks, errors, settings
from polybackfill.engine import grace_period, job_shards
from polybackfill.filesystem import lock
from polybackfill.kinds import key_source, registry
from polybackfill.reports import progress_line
from polybackfill.run import bootstrap, run_request
from polybackfill.store import client, job_tables, sliced_insert

log = structlog.get_logger()

POST_RUN = "post-run"
_PLAN = "plan"
_POLL_S = 0.2
_LOOKS_PER_LEASE = 20
_LOOK_S = (0.5, 3.0)
_RENEWALS_PER_LEASE = 3
_WRITE_S = 10.0  # a renewal that takes longer is tried again

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


class TakeOver:
    """Ends members that do not renew their place, once they were seen so for half a lease: where
    Keeper was away for all, all come back at once, and each has the time to renew.
    """

    def __init__(self, tables: job_tables.JobTables, member: str, lease_s: float) -> None:
        self._tables = tables
        self._member = member
        self._wait_s = lease_s / 2
        self._expired_at: dict[str, float] = {}

    def forget(self) -> None:
        """Keeper was away: nobody could renew."""
        self._expired_at.clear()

    async def run(self, members: Sequence[job_tables.Member]) -> None:
        """Look at the members, and end those that are due."""
        now = clocks.awake_s()
        expired = {one.name for one in members if one.left_s < 0}
        for name in set(self._expired_at) - expired:
            del self._expired_at[name]
        for one in members:
            if one.name == self._member or one.state == job_tables.GONE:
                continue
            has_ended = lock.is_alive(one.process) is False  # as seen from this machine
            is_due = one.name in expired and (
                now - self._expired_at.setdefault(one.name, now) >= self._wait_s
            )
            if one.state == job_tables.DEAD or is_due or has_ended:
                await self._retire(one.name, only_expired=not has_ended)

    async def _retire(self, name: str, *, only_expired: bool) -> None:
        try:
            if await self._tables.retire(name, only_expired=only_expired):
                log.warning("job.taken_over", member=name)
        except (errors.BackfillError, TimeoutError) as error:
            log.warning("job.retry", member=name, error=str(error) or "timeout")


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
        self._take_over = TakeOver(tables, self.name, lease_s)
        self._lease_s = lease_s
        self._clock = clock
        self._members: list[job_tables.Member] = []
        self._renewed_at = 0.0
        self._trouble = ""
        self._lost: errors.Stop | None = None
        self.work: Work | None = None

    async def enter(self, process: lock.Owner) -> None:
        """Become a member, that `process`. Raises errors.Retry while Keeper is away."""
        began_at = clocks.awake_s()
        await self.tables.enter(self.job.name, self.name, process, self._lease_s)
        self._renewed_at = began_at
        counts = {kind: shards.count for kind, shards in self.shards.kinds.items()}
        await self.tables.add_shards(self.job, {**counts, POST_RUN: 1})
        await self._look()

    async def leave(self) -> None:
        """End what still runs on the server, and let go of everything."""
        await self.tables.retire(self.name, only_expired=False)

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
                except (errors.Retry, TimeoutError) as error:
                    if not self._trouble:
                        log.warning("job.retry", job=self.job.name, error=str(error) or "timeout")
                    self._trouble = str(error) or "no answer in time"
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
                }
                for kind, shards in self.shards.kinds.items()
            },
            "members": describe_members(self._members),
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
                shards = (await self.tables.shards(self.job))[POST_RUN]
                if shards.all_done:
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
        shards = (await self.tables.shards(self.job))[POST_RUN]
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
        async with asyncio.timeout(_WRITE_S):
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


def pick_facts(picture: Mapping[str, Any]) -> dict[str, object]:
    """What a daemon tells the others of its run, from its newest picture."""
    parts = picture["parts"].values()
    return {
        "at": picture["now"],
        "keys_done": sum(part["done"] for part in parts),
        "keys_in_error": sum(part["error"] for part in parts),
        "rows": progress_line.rows(dict(picture)),
    }


def describe_members(members: list[job_tables.Member]) -> list[dict[str, Any]]:
    """Members of a job that are not gone, for views."""
    return [
        {
            "member": one.name,
            "host": one.process.host,
            "run_name": one.process.run_name,
            "pid": one.process.pid,
            "state": one.state if one.left_s > 0 else "expired",
            "left_s": round(one.left_s, 1),
            **one.facts,
        }
        for one in members
        if one.state != job_tables.GONE
    ]


def define(request: run_request.RunRequest, backfill: settings.BackfillSettings) -> str:
    """What a job fetches, in one form: JSON. Raises errors.Stop for what cannot be shared."""
    is_portion = backfill.limit is not None or backfill.skip
    if request.has_typed_keys or request.dry_run or request.follow or is_portion:
        raise errors.Stop(
            "BACKFILL_JOB shares a run of the plan, or of everything: leave out lists of keys, "
            "--limit, --skip, --follow and --dry-run, or leave out BACKFILL_JOB"
        )
    document = {
        "parts": list(request.parts),
        "since": request.window[0],
        "until": request.window[1],
        "planned_list": request.listed_only,
        "shards": backfill.job_shards,
        "slices": backfill.job_slices,
    }
    return msgspec.json.encode(document).decode()


@contextlib.asynccontextmanager
async def joined(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    store: client.Store | None,
    stop: asyncio.Event,
) -> AsyncIterator[JobMember | None]:
    """A member of the job of the settings inside the block; None without one.

    Raises errors.Stop for a store without Keeper, and naming both where the job is another.
    """
    backfill = chosen.backfill
    if not backfill.job or store is None:
        yield None
        return
    clock = clocks.SystemClock()
    definition = define(request, backfill)
    own = client.Store(bootstrap.store_address(chosen), clock=clock)
    try:
        tables = job_tables.JobTables(own, clock)
        await tables.create(chosen.clickhouse.cluster)
        job = await tables.define(backfill.job, definition)
        if job.definition != definition:
            raise errors.Stop(
                f"job {job.name} is another: it was begun with {job.definition}, and this daemon "
                f"would work with {definition}. Start it with the same words and settings, or give "
                "BACKFILL_JOB another name"
            )
        before = await tables.shards(job)
        if before and all(shards.all_done for shards in before.values()):
            job = await tables.begin_round(job)
        member = JobMember(
            tables,
            job,
            _count_shards(request.kinds, backfill.job_shards),
            lease_s=backfill.job_lease_s,
            run_name=backfill.run_name,
            clock=clock,
        )
        await member.enter(lock.this_process(clock.now(), backfill.run_name))
        log.info("job.joined", job=job.name, round=job.round, member=member.name)
        store.fence, before_write = job_tables.fence(member.name), store.before_write

        async def confirm() -> None:
            await before_write()
            await member.confirm()

        store.before_write = confirm
        keeping = asyncio.create_task(member.keep(), name="job")
        try:
            yield member
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            share = grace_period.CLAIM_SHARE if stop.is_set() else 1.0
            with contextlib.suppress(errors.BackfillError, TimeoutError):
                async with asyncio.timeout(backfill.grace_s * share):
                    await member.leave()
            store.fence, store.before_write = None, before_write
    finally:
        await own.close()


def _count_shards(kinds: tuple[str, ...], count: int) -> dict[str, int]:
    """By kind: a list is read by one daemon at a time."""
    return {
        kind: 1 if isinstance(registry.KINDS[kind].keys, key_source.WholeList) else count
        for kind in kinds
    }


def make_sink(member: JobMember, store: client.Store, slices: int) -> sliced_insert.SlicedInsert:
    """Where the writer of a member inserts its rows."""
    return sliced_insert.SlicedInsert(
        store,
        member.tables,
        job=member.job.name,
        member=member.name,
        slices=slices,
        most=lambda: max(1, slices // member.hosts),
        clock=clocks.SystemClock(),
    )
