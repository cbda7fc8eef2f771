"""One daemon for one database of a server, by the server's own time.

A claim is a row that is written again every few seconds. Whoever wants the database writes its
claim first and looks then: of the claims that are alive the oldest holds. One that was not renewed
for `EXPIRES_S` is dead, and so is one whose process has demonstrably ended on this machine.

What a claim cannot do is hold back a statement that is on its way already, so the margins are
generous: a claim is renewed after a sixth of its life, and one that was not renewed for half of it
is looked at again before anything else is written. A daemon that was suspended for an hour finds
the other one there, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable

import msgspec
import structlog

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.store import client, cluster, definitions, query_files

log = structlog.get_logger()

RENEW_S = 10.0
EXPIRES_S = 60.0
_SURE_S = EXPIRES_S / 2
_WRITE_S = 10.0  # a claim that takes longer to write is not to be relied on
_SETTLE_S = 1.0  # claims written at the same moment are all to be seen after so long
_TRIES = 3

_TABLE = """
CREATE TABLE IF NOT EXISTS backfill_owners {on_cluster}
(
    claim     String COMMENT 'random name of the claim',
    host      String COMMENT 'name of the machine that the run works on',
    pid       UInt32 COMMENT 'process id of the run on that machine',
    boot      String COMMENT 'which start of the machine it is',
    namespace String COMMENT 'which numbering of processes (container) the pid belongs to',
    born      String COMMENT 'when the process began, as the machine counts time',
    run_name  String COMMENT 'name of the run',
    released  UInt8 COMMENT '1: the claim is given up',
    beat_at   DateTime64(6, 'UTC') COMMENT 'when it was written, by the server, UTC',
    job       String COMMENT 'name of the job that the run shares with others, empty for none'
)
ENGINE = {engine:MergeTree} ORDER BY (claim, beat_at) TTL toDateTime(beat_at) + INTERVAL 1 DAY
COMMENT 'Signs of life of the run that writes to this database'
"""
_ADD_JOB = """
ALTER TABLE backfill_owners {on_cluster} ADD COLUMN IF NOT EXISTS
    job String COMMENT 'name of the job that the run shares with others, empty for none'
"""
_WRITE = """
INSERT INTO backfill_owners
    (claim, host, pid, boot, namespace, born, run_name, released, beat_at, job)
SELECT {claim:String}, {host:String}, {pid:UInt32}, {boot:String}, {namespace:String},
       {born:String}, {run_name:String}, {released:UInt8}, now64(6, 'UTC'), {job:String}
"""
_LIVING = query_files.read("living_owners")


class Claim(msgspec.Struct, frozen=True):
    """A daemon's claim as it stands in the database. `beats`: how often it was written, also where
    the server's clock was set back; `since`: epoch seconds, by the server's time.
    """

    claim: str
    host: str
    pid: int
    boot: str
    namespace: str
    born: str
    run_name: str
    beats: int
    since: int

    @property
    def owner(self) -> lock.Owner:
        """The process behind it."""
        return lock.Owner(
            host=self.host,
            pid=self.pid,
            started_at=self.since,
            boot=self.boot,
            namespace=self.namespace,
            born=self.born,
            run_name=self.run_name,
        )


class Ownership:
    """This process's claim to a database. `store` is its own connection, used for nothing else.
    `job`: others that name the same one may claim it too; "" for nobody else.
    """

    def __init__(
        self,
        store: client.Store,
        *,
        run_name: str,
        clock: clocks.Clock,
        job: str = "",
        awake_s: Callable[[], float] = clocks.awake_s,
    ) -> None:
        self._store = store
        self._job = job
        self._me = lock.this_process(clock.now(), run_name)
        self._clock = clock
        self._awake_s = awake_s
        self._claim = ""
        self._renewed_at = -float("inf")
        self._renewing = asyncio.Lock()
        self._lost: errors.Stop | None = None

    async def claim(self) -> None:
        """Own the database, as soon as a dead owner's claim has expired.

        Raises errors.Stop (exit 75) naming the living owner.
        """
        await self._write_new()
        try:
            await self._outlive_the_dead()
        except BaseException:
            with contextlib.suppress(errors.BackfillError, TimeoutError):
                await self.release()
            raise

    async def _outlive_the_dead(self) -> None:
        """Return when our claim is the first; raises errors.Stop when who is first lives."""
        beats: dict[str, int] = {}
        since: dict[str, float] = {}  # when they were seen first
        while (first := await self._first()).claim != self._claim:
            alive = lock.is_alive(first.owner)
            if alive or beats.get(first.claim, first.beats) < first.beats:
                raise self._taken(first)
            if first.claim not in beats and alive is None:
                log.warning("run.waits_for_an_owner", owner=str(first.owner), at_most_s=EXPIRES_S)
            beats[first.claim] = first.beats  # fewer when those of a day ago are removed
            seen_at = since.setdefault(first.claim, self._awake_s())
            # The second where the server's clock was set back: by it the claim would live on.
            if alive is False or self._awake_s() - seen_at > EXPIRES_S:
                log.info("store.owner_is_gone", owner=str(first.owner))
                await self._write(first.claim, released=True)
                continue
            await self._clock.sleep(RENEW_S / 4)
            await self._renew_if_due()

    async def confirm(self) -> None:
        """Return if the database is still ours; to be called before anything is written.

        Raises errors.Stop (exit 75) naming who took over, Retry when the store is away.
        """
        if self._lost is not None:
            raise self._lost
        if self._awake_s() - self._renewed_at > _SURE_S:
            await self.renew()

    async def renew(self) -> None:
        """Write the claim again and look who is first. Raises as `confirm` does."""
        async with self._renewing:
            if self._awake_s() - self._renewed_at > EXPIRES_S - 1.5 * _WRITE_S:
                await self.release()  # it may have expired and another have come: queue up again
                await self._write_new()
            else:
                await self._beat()
            first = await self._first()
            if first.claim != self._claim:
                self._lost = self._taken(first)
                raise self._lost

    async def release(self) -> None:
        """The database is free."""
        await self._write(self._claim, released=True)

    async def keep(self) -> None:
        """Renew the claim for ever; what goes wrong shows at the next `confirm`."""
        while self._lost is None:
            await self._clock.sleep(RENEW_S)
            try:
                await self.renew()
            except (errors.BackfillError, TimeoutError) as error:
                log.warning("store.claim_not_renewed", error=str(error) or "timeout")

    async def _write_new(self) -> None:
        """A claim whose row was there soon after it was dated, or two could be first at once."""
        for _ in range(_TRIES):
            self._claim = str(uuid.uuid4())
            began_at = self._awake_s()
            await self._beat()
            if self._awake_s() - began_at < _SETTLE_S:
                await self._clock.sleep(_SETTLE_S)
                return
            await self.release()
        raise errors.Retry(f"the store at {self._store.address.location} is too slow to claim it")

    async def _beat(self) -> None:
        began_at = self._awake_s()
        await self._write(self._claim, released=False)
        self._renewed_at = began_at

    async def _renew_if_due(self) -> None:
        if self._awake_s() - self._renewed_at > RENEW_S:
            await self._beat()

    async def _first(self) -> Claim:
        named: dict[str, str | int] = {
            "expires": int(EXPIRES_S),
            "claim": self._claim,
            "job": self._job,
            "run_name": self._me.run_name,
        }
        rows = await self._store.rows(_LIVING, parameters=named)
        if not rows:
            raise errors.Retry(f"the store at {self._store.address.location} lost this run's claim")
        return msgspec.convert(rows[0], Claim)

    async def _write(self, claim: str, *, released: bool) -> None:
        me = self._me
        parameters: dict[str, str | int] = {
            "claim": claim,
            "host": me.host,
            "pid": me.pid,
            "boot": me.boot,
            "namespace": me.namespace,
            "born": me.born,
            "run_name": me.run_name,
            "released": int(released),
            "job": self._job,
        }
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._store.command(_WRITE, parameters=parameters)
        except TimeoutError as error:
            location = self._store.address.location
            raise errors.Retry(
                f"the store at {location} was silent for {_WRITE_S:.0f} s"
            ) from error

    def _taken(self, first: Claim) -> errors.Stop:
        address = self._store.address
        return errors.Stop(
            f"database {address.database} at {address.location} is in use by {first.owner}; stop "
            "that run first, or wait for its end: one run at a time writes to a database (a "
            f"claim ends {EXPIRES_S:.0f} s after the last sign of its owner), and the daemons of a "
            "job have run names of their own (BACKFILL_RUN_NAME)",
            exit_code=errors.EXIT_UNAVAILABLE,
        )


@contextlib.asynccontextmanager
async def owned(
    address: client.Address,
    *,
    run_name: str,
    clock: clocks.Clock,
    job: str = "",
    release_s: float = _WRITE_S,
) -> AsyncIterator[Ownership]:
    """Own a server's database inside the block. Raises errors.Stop (exit 75) when another does.

    A server that is silent for `release_s` at the end is left with a claim that expires.
    """
    store = await cluster.open_store(address, clock=clock)
    try:
        await store.command(definitions.filled(_TABLE, store.address.cluster))
        await store.command(definitions.filled(_ADD_JOB, store.address.cluster))
        ownership = Ownership(store, run_name=run_name, clock=clock, job=job)
        await ownership.claim()
        keeping = asyncio.create_task(ownership.keep(), name="ownership")
        try:
            yield ownership
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with contextlib.suppress(errors.BackfillError, TimeoutError):
                async with asyncio.timeout(release_s):
                    await ownership.release()
    finally:
        await store.close()
