"""What the daemons of one job know of each other: rows of ClickHouse Keeper, reached by SQL.

KeeperMap keeps each row as a node of Keeper: one writer at a time changes it, everybody sees the
changes in one order. A row is changed only as it was read (`keeper_map_strict_mode`), and read
again afterwards: what the row says then decides, not what the statement said.

A daemon is a *member*: one start of it, under a name that never comes again. It lives as long as it
renews its row within `lease_s`, by the time of the store. One that did not is marked dead, which it
cannot undo, then whatever it still runs on the server is ended, and only then is it gone: from
there on it adds nothing, and what it held is free. Every insert of a member looks at its own row as
it begins (`client.Fence`), so an insert either began before the mark, and is ended, or adds
nothing.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.store import client, definitions

ALIVE, DEAD, GONE = "alive", "dead", "gone"
POST_RUN = "post-run"  # what is made of the rows when every kind is done, in one shard
_STRICT = "SETTINGS keeper_map_strict_mode = 1"
_NO_KEEPER = ("keeper_map_path_prefix", "KeeperMap is disabled", "no Zookeeper configuration")
_KILL_S = 150.0  # an insert that waits for its rows is ended when the server has waited 30 s
_POLL_S = 0.2
_KEPT_DAYS = 1
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS backfill_jobs {on_cluster}
(
    job        String COMMENT 'name of the job',
    definition String COMMENT 'what the job fetches, and in how many parts: JSON',
    round      UInt32 COMMENT 'how often the job was begun',
    began_at   DateTime64(6, 'UTC') COMMENT 'when this round was begun, by the server, UTC'
)
ENGINE = KeeperMap('{path}/backfill_jobs') PRIMARY KEY job
COMMENT 'Jobs that several daemons share'
""",
    """
CREATE TABLE IF NOT EXISTS backfill_members {on_cluster}
(
    member     String COMMENT 'name of a daemon, for one start of it',
    job        String COMMENT 'name of the job',
    process    String COMMENT 'the process behind it: JSON',
    state      String COMMENT 'alive, dead (adds nothing more), gone (nothing of it runs)',
    expires_at DateTime64(6, 'UTC') COMMENT 'when it ends unless it renews, by the server, UTC',
    facts      String COMMENT 'what it said of its work at the last renewal: JSON'
)
ENGINE = KeeperMap('{path}/backfill_members') PRIMARY KEY member
COMMENT 'Daemons of a job'
""",
    """
CREATE TABLE IF NOT EXISTS backfill_shards {on_cluster}
(
    name    String COMMENT 'job, round and kind of unit',
    job     String COMMENT 'name of the job',
    round   UInt32 COMMENT 'round of the job',
    kind    String COMMENT 'kind of unit',
    change  String COMMENT 'random name of the last change',
    owners  Array(String) COMMENT 'by shard the member that works on it, empty for nobody',
    is_done Array(UInt8) COMMENT 'by shard 1 when every unit of it has ended'
)
ENGINE = KeeperMap('{path}/backfill_shards') PRIMARY KEY name
COMMENT 'Who works on which keys of a job: a key is in shard CRC32(key) % length(owners)'
""",
    """
CREATE TABLE IF NOT EXISTS backfill_slices {on_cluster}
(
    name   String COMMENT 'job and number of the slice of fills, or what else one does at a time',
    member String COMMENT 'the member that inserts into it now'
)
ENGINE = KeeperMap('{path}/backfill_slices') PRIMARY KEY name
COMMENT 'Slices of fills into which somebody inserts at this moment'
""",
)
NAMES = ("backfill_jobs", "backfill_members", "backfill_shards", "backfill_slices")
_DATABASE = "SELECT toString(uuid) AS uuid FROM system.databases WHERE name = currentDatabase()"
_IS_ALIVE = (
    "(SELECT count() FROM backfill_members "
    f"WHERE member = {{member:String}} AND state = '{ALIVE}') = 1"
)


@dataclass(frozen=True)
class Job:
    """A job as it stands in the store. `began_at`: epoch seconds, of this `round`."""

    name: str
    definition: str
    round: int
    began_at: float


@dataclass(frozen=True)
class Member:
    """A daemon of the job. `expires_at`: when, microseconds since the epoch, `left_s`: seconds
    until then, both by the store's time.
    """

    name: str
    process: lock.Owner
    state: str
    expires_at: int
    left_s: float
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Shards:
    """The shards of one kind. `change` names the last change: one is made only to what was read."""

    name: str
    kind: str
    change: str
    owners: tuple[str, ...]
    is_done: tuple[bool, ...]

    @property
    def all_done(self) -> bool:
        """Every unit of every shard has ended."""
        return all(self.is_done)


def fence(member: str) -> client.Fence:
    """What lets inserts of a member add rows only as long as it is alive."""
    return client.Fence(member, _IS_ALIVE, {"member": member})


class JobTables:
    """The four tables of one store. Raises errors.Retry while Keeper or the store is away."""

    def __init__(self, store: client.Store, clock: clocks.Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self) -> None:
        """Make what is not there. Raises errors.Stop for a server without Keeper."""
        address = self._store.address
        # Not by its name: another server of the same Keeper may have one of that name, too.
        (database,) = await self._store.rows(_DATABASE)
        path = f"/polybackfill/{database['uuid']}"
        # Every server of a cluster looks at the fence, and so sees the same rows.
        servers = dict.fromkeys((self._store, *self._store.servers))
        for table, server in itertools.product(_TABLES, servers):
            made = definitions.filled(table, address.cluster).format(path=path)
            try:
                await server.command(made)
            except errors.GiveUp as error:
                if not any(word in str(error) for word in _NO_KEEPER):
                    raise
                raise errors.Stop(
                    f"The server at {server.address.location} has no Keeper for BACKFILL_JOB: "
                    "docs/several-hosts.md has the ten lines of configuration that switch one on. "
                    "Without them leave BACKFILL_JOB out and run one daemon"
                ) from error

    # The job

    async def define(self, name: str, definition: str) -> Job:
        """The job of that name, made by this definition if there is none."""
        if (job := await self.find(name)) is not None:
            return job
        await self._attempt(
            "INSERT INTO backfill_jobs (job, definition, round, began_at) "
            f"{_STRICT} "
            "SELECT {job:String}, {definition:String}, 1, now64(6, 'UTC')",
            {"job": name, "definition": definition},
        )
        job = await self.find(name)
        if job is None:
            raise errors.Retry(f"job {name} could not be written to Keeper")
        return job

    async def begin_round(self, job: Job) -> Job:
        """The next round, whoever begins it."""
        await self._attempt(
            "ALTER TABLE backfill_jobs UPDATE round = round + 1, began_at = now64(6, 'UTC') "
            f"WHERE job = {{job:String}} AND round = {{round:UInt32}} {_STRICT}",
            {"job": job.name, "round": job.round},
        )
        begun = await self.find(job.name)
        if begun is None or begun.round == job.round:
            raise errors.Retry(f"round {job.round + 1} of job {job.name} could not be begun")
        await self._attempt(
            "ALTER TABLE backfill_shards DELETE "
            f"WHERE job = {{job:String}} AND round < {{round:UInt32}} {_STRICT}",
            {"job": job.name, "round": begun.round},
        )
        return begun

    async def exist(self) -> bool:
        """Whether any job was ever begun in this database."""
        rows = await self._store.rows(
            "SELECT count() AS n FROM system.tables "
            "WHERE database = currentDatabase() AND name IN {names:Array(String)}",
            parameters={"names": NAMES},
        )
        return bool(rows[0]["n"] == len(NAMES))

    async def find(self, name: str) -> Job | None:
        """The job of that name as it stands now."""
        rows = await self._store.rows(
            "SELECT job, definition, round, toUnixTimestamp64Micro(began_at) AS began "
            "FROM backfill_jobs WHERE job = {job:String}",
            parameters={"job": name},
        )
        if not rows:
            return None
        (row,) = rows
        return Job(row["job"], row["definition"], row["round"], row["began"] / 1e6)

    # Its members

    async def enter(self, job: str, member: str, process: lock.Owner, lease_s: float) -> None:
        """A new member, alive from now on. Members that are gone for a day are forgotten."""
        await self._attempt(
            f"ALTER TABLE backfill_members DELETE WHERE state = '{GONE}' "
            f"AND expires_at < now64(6, 'UTC') - toIntervalDay({_KEPT_DAYS}) {_STRICT}",
            {},
        )
        await self._store.command(
            "INSERT INTO backfill_members (member, job, process, state, expires_at, facts) "
            f"{_STRICT} SELECT {{member:String}}, {{job:String}}, {{process:String}}, '{ALIVE}', "
            "now64(6, 'UTC') + toIntervalMillisecond({lease:UInt32}), '{}'",
            parameters={
                "member": member,
                "job": job,
                "process": msgspec.json.encode(process).decode(),
                "lease": round(lease_s * 1000),
            },
        )

    async def renew(self, member: str, lease_s: float, facts: Mapping[str, object]) -> bool:
        """Live on; False for one that was marked dead meanwhile."""
        await self._attempt(
            "ALTER TABLE backfill_members UPDATE facts = {facts:String}, "
            "expires_at = now64(6, 'UTC') + toIntervalMillisecond({lease:UInt32}) "
            f"WHERE member = {{member:String}} AND state = '{ALIVE}' {_STRICT}",
            {
                "member": member,
                "lease": round(lease_s * 1000),
                "facts": msgspec.json.encode(facts).decode(),
            },
        )
        rows = await self._store.rows(
            "SELECT state, expires_at > now64(6, 'UTC') AS lives "
            "FROM backfill_members WHERE member = {member:String}",
            parameters={"member": member},
        )
        if not rows or rows[0]["state"] != ALIVE:
            return False
        if not rows[0]["lives"]:
            raise errors.Retry("this daemon's place in its job could not be renewed")
        return True

    async def members(self, job: str) -> list[Member]:
        """All that are known, by name."""
        rows = await self._store.rows(
            "SELECT member, process, state, facts, toUnixTimestamp64Micro(expires_at) AS expires, "
            "(expires - toUnixTimestamp64Micro(now64(6, 'UTC'))) / 1e6 AS left_s "
            "FROM backfill_members WHERE job = {job:String} ORDER BY member",
            parameters={"job": job},
        )
        return [
            Member(
                row["member"],
                msgspec.json.decode(row["process"], type=lock.Owner),
                row["state"],
                row["expires"],
                row["left_s"],
                msgspec.json.decode(row["facts"], type=dict[str, object]),
            )
            for row in rows
        ]

    async def retire(self, member: str, *, expires_at: int | None = None) -> bool:
        """End a member for good: mark it dead, end what it still runs on the server, and let go of
        what it held. `expires_at`: only where its lease ends then still. False when it lives after
        all, or was renewed meanwhile.
        """
        stands = "" if expires_at is None else "AND toUnixTimestamp64Micro(expires_at) = {at:Int64}"
        await self._attempt(
            f"ALTER TABLE backfill_members UPDATE state = '{DEAD}' "
            f"WHERE member = {{member:String}} AND state = '{ALIVE}' {stands} {_STRICT}",
            {"member": member, "at": expires_at or 0},
        )
        if await self._state(member) == ALIVE:
            return False
        # From here on none of its inserts begins; those that began are ended.
        await self._store.end_inserts_of(member, within_s=_KILL_S)
        await self._attempt(
            f"ALTER TABLE backfill_slices DELETE WHERE member = {{member:String}} {_STRICT}",
            {"member": member},
        )
        await self._attempt(
            f"ALTER TABLE backfill_members UPDATE state = '{GONE}' "
            f"WHERE member = {{member:String}} AND state = '{DEAD}' {_STRICT}",
            {"member": member},
        )
        return True

    async def _state(self, member: str) -> str:
        rows = await self._store.rows(
            "SELECT state FROM backfill_members WHERE member = {member:String}",
            parameters={"member": member},
        )
        return str(rows[0]["state"]) if rows else GONE

    # Its shards

    async def shards(self, job: Job) -> dict[str, Shards]:
        """By kind, those of this round that anybody has begun."""
        rows = await self._store.rows(
            "SELECT name, kind, change, owners, is_done FROM backfill_shards "
            "WHERE job = {job:String} AND round = {round:UInt32}",
            parameters={"job": job.name, "round": job.round},
        )
        return {
            row["kind"]: Shards(
                row["name"],
                row["kind"],
                row["change"],
                tuple(row["owners"]),
                tuple(map(bool, row["is_done"])),
            )
            for row in rows
        }

    async def add_shards(self, job: Job, counts: Mapping[str, int]) -> None:
        """Shards that nobody has yet, for each kind so many. Raises errors.Retry where the next
        round has begun meanwhile, which has taken this one's away.
        """
        there = await self.shards(job)
        for kind, count in counts.items():
            if kind in there:
                continue
            await self._attempt(
                "INSERT INTO backfill_shards (name, job, round, kind, change, owners, is_done) "
                f"{_STRICT} SELECT {{name:String}}, {{job:String}}, {{round:UInt32}}, "
                "{kind:String}, '', arrayWithConstant({count:UInt32}, ''), "
                "arrayWithConstant({count:UInt32}, toUInt8(0))",
                {
                    "name": f"{job.name} {job.round} {kind}",
                    "job": job.name,
                    "round": job.round,
                    "kind": kind,
                    "count": count,
                },
            )
        begun = await self.find(job.name)
        if begun is None or begun.round != job.round:
            raise errors.Retry(f"round {job.round} of job {job.name} has ended meanwhile")

    async def change_shards(
        self, before: Shards, owners: Sequence[str], is_done: Sequence[bool]
    ) -> None:
        """Write new owners over what was read; nothing, when somebody else changed it since."""
        await self._attempt(
            "ALTER TABLE backfill_shards UPDATE change = {change:String}, "
            "owners = {owners:Array(String)}, is_done = {done:Array(UInt8)} "
            f"WHERE name = {{name:String}} AND change = {{before:String}} {_STRICT}",
            {
                "change": str(uuid.uuid4()),
                "owners": list(owners),
                "done": [int(one) for one in is_done],
                "name": before.name,
                "before": before.change,
            },
        )

    # What one does at a time

    async def claim_slices(self, member: str, wanted: Sequence[str], most: int) -> list[str]:
        """Up to `most` of the slices wanted, the first that nobody has; [] when others have all, or
        were quicker. They are written all or none.

        A claim that was under way when its member was taken over may still come through. Slices of
        members that are gone are free, since these add nothing more.
        """
        names = list(wanted)[:most]
        for _ in range(2):
            if not names:
                break
            try:
                await self._store.command(
                    f"INSERT INTO backfill_slices (name, member) {_STRICT} "
                    "SELECT arrayJoin({names:Array(String)}), {member:String}",
                    parameters={"names": names, "member": member},
                )
            except errors.Retry:  # somebody has one of them, or the answer was lost
                members, gone = await self._slices()
                if mine := [name for name in wanted if members.get(name) == member]:
                    return mine
                for name in set(wanted) & gone:
                    await self.release_slices(members.pop(name), [name])
                names = [name for name in wanted if name not in members][:most]
            else:
                return names
        return []

    async def release_slices(self, member: str, names: Collection[str]) -> None:
        """Others may insert into them."""
        await self._store.command(
            "ALTER TABLE backfill_slices DELETE "
            f"WHERE name IN {{names:Array(String)}} AND member = {{member:String}} {_STRICT}",
            parameters={"names": list(names), "member": member},
        )

    async def outlive_releases(self) -> None:
        """Return when no release of slices runs any more that does now: one that got no answer
        would take away what was claimed anew meanwhile.
        """
        sql = (
            "SELECT query_id FROM system.processes "
            "WHERE startsWith(query, 'ALTER TABLE backfill_slices ')"
        )
        before = {row["query_id"] for row in await self._store.rows(sql)}
        while before & {row["query_id"] for row in await self._store.rows(sql)}:
            await self._clock.sleep(_POLL_S)

    async def _slices(self) -> tuple[dict[str, str], set[str]]:
        """Who has which, and those whose member is gone."""
        rows = await self._store.rows(
            "SELECT name, member, member NOT IN "
            f"(SELECT member FROM backfill_members WHERE state != '{GONE}') AS is_gone "
            "FROM backfill_slices"
        )
        members = {row["name"]: row["member"] for row in rows}
        return members, {row["name"] for row in rows if row["is_gone"]}

    async def _attempt(self, sql: str, parameters: client.Parameters) -> None:
        """A change that others may have made impossible: whoever calls looks what has become of it.

        Keeper refuses one that does not fit, in the same words as it does when it is away; then the
        look fails too.
        """
        try:
            await self._store.command(sql, parameters=parameters)
        except errors.Retry:
            return
