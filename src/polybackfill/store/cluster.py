"""A cluster of several servers as the store: the big tables are cut over them by key.

Each server has a store of its own in the database `…_local`: tables, landing tables and views as on
a single server, so that the check for duplicates, costs, candles and mutations are that server's
business. The server that CLICKHOUSE_HOST names, the *entry*, has the database that people know: in
it the big tables are Distributed ones over the local ones, all others hold their rows themselves.
A row is sent to its own server: acknowledged means stored there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TypedDict

from chdb_http import statements
from polybackfill import clocks, errors
from polybackfill.store import client, definitions

LOCAL = "_local"  # how the database of a server's own tables ends
# By big table the SQL of its key: rows of one key are on one server. Without one the rows are made
# where the fills are that they are about.
BIG: Mapping[str, str] = {
    "external_trades_raw": "condition_id",
    "fill_costs": "",
    "candle_marks": "condition_id",
    "trade_candle_rows": "condition_id",
    "market_id_fills": "condition_id",
    "wallet_activity_raw": "wallet_address",
    "api_position_rows": "wallet_address",
    "ingested_positions": "wallet_address",
    "backfill_receipt_rows": "toString(seq)",
}
_OF_MARKET = re.compile(rb'"condition_id":"([^"]*)"')
_OF_WALLET = re.compile(rb'"wallet_address":"([^"]*)"')
# By the table that rows are sent to where the key is in a line.
_KEYS: Mapping[str, re.Pattern[bytes]] = {
    "external_trades_raw": _OF_MARKET,
    "external_trades_landing": _OF_MARKET,
    "wallet_activity_raw": _OF_WALLET,
    "wallet_activity_landing": _OF_WALLET,
    "api_positions_landing": _OF_WALLET,
    "backfill_receipt_rows": re.compile(rb'"seq":(\d+)'),
}
_JOIN = re.compile(r"\b(?:LEFT|RIGHT|FULL|INNER)(?: (?:OUTER|ANY|ANTI|SEMI))? JOIN\b")
_RENAMED = ("landed_positions", "landed_positions_mv")  # schema 012
_SERVERS = """
SELECT shard_num AS number, any(shard_weight) AS weight, argMin(host_name, replica_num) AS host,
    count() AS replicas
FROM system.clusters WHERE cluster = {cluster:String} GROUP BY number ORDER BY number
"""
_ENGINE = """
SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'external_trades_raw'
"""
_KNOWN = "SELECT name FROM system.settings WHERE name IN {names:Array(String)}"
# A big table whose readers are sent to the rows beside it, until these have moved in everywhere.
_MOVING = r"""
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine = 'Distributed'
    AND position(engine_full, concat('\'', {beside:String}, name, '\'')) > 0
ORDER BY name
"""
_ENTRY = "SELECT toString(uuid) AS uuid FROM system.databases WHERE name = currentDatabase()"
_DATABASE = "SELECT name FROM system.databases WHERE name = {name:String}"
SETTINGS = {
    # A subquery is answered once, here, and sent along: the servers lack the small tables.
    "prefer_global_in_and_join": "1",
    "distributed_product_mode": "global",
    "optimize_skip_unused_shards": "1",
    "distributed_foreground_insert": "1",
    "parallel_distributed_insert_select": "0",
    "allow_push_predicate_ast_for_distributed_subqueries": "0",
}


class _Server(TypedDict):
    number: int
    weight: int
    host: str
    replicas: int


def unneeded() -> frozenset[str]:
    """Tables without storage and views that the entry lacks: what lands lands on its server."""
    views = [view for source in (*BIG, *_KEYS) for view in definitions.views().get(source, ())]
    passing = {view.target for view in views} - set(BIG)
    behind = [view for source in passing for view in definitions.views().get(source, ())]
    names = {view.name for view in (*views, *behind)} | passing | set(_KEYS) - set(BIG)
    return frozenset(names | set(_RENAMED))


class ClusteredStore(client.Store):
    """The entry of a cluster, and its servers. `slots`: by the remainder of a key's checksum the
    index of its server in `servers`; `known`: which settings its server knows.
    """

    def __init__(
        self,
        address: client.Address,
        nodes: Sequence[_Server],
        known: Collection[str],
        *,
        clock: clocks.Clock,
    ) -> None:
        super().__init__(dataclasses.replace(address, cluster=None), clock=clock)
        self.cluster = address.cluster or ""
        self._settings = {name: text for name, text in SETTINGS.items() if name in known}
        self.slots = [index for index, one in enumerate(nodes) for _ in range(one["weight"])]
        local = dataclasses.replace(
            address, cluster=None, port=address.server_port, database=address.database + LOCAL
        )
        self._servers = [
            client.Store(dataclasses.replace(local, host=one["host"]), clock=clock) for one in nodes
        ]

    @property
    def query_settings(self) -> Mapping[str, str]:
        """Those of one server, and that what is read beside a big table is sent along."""
        return {**super().query_settings, **self._settings}

    @property
    def servers(self) -> Sequence[client.Store]:
        """Those that hold the rows of the big tables."""
        for server in self._servers:
            server.before_write, server.fence = self.before_write, self.fence
        return self._servers

    @property
    def unneeded(self) -> frozenset[str]:
        """What lands lands on the servers."""
        return unneeded()

    def as_made_here(self, statement: str) -> str:
        """A big table is a Distributed one, and what a view joins to it is sent along."""
        name = next((name for name in definitions.names(statement) if name in BIG), None)
        if name is None:
            return _JOIN.sub(r"GLOBAL \g<0>", statement)
        return self._distributed("CREATE TABLE IF NOT EXISTS", name, name)

    def _distributed(self, making: str, table: str, local: str) -> str:
        """The statement for a big table over those that are called `local` on the servers."""
        database = self._servers[0].address.database
        where = f"{statements.quoted(self.cluster)}, {statements.quoted(database)}, {local}"
        key = f", CRC32({BIG[table]})" if BIG[table] else ""
        return (
            f"{making} {table} AS {client.quoted_name(database)}.{table} "
            f"ENGINE = Distributed({where}{key})"
        )

    def shares_of(self, table: str) -> Sequence[tuple[client.Store, str]]:
        """A big table is cut as `insert` cuts its rows."""
        if table not in BIG:
            return super().shares_of(table)
        # A table without a key gets none of its rows from elsewhere.
        slot = f"CRC32({BIG[table] or statements.quoted('')}) % {len(self.slots)}"
        shares = []
        for index, server in enumerate(self.servers):
            own = [number for number, one in enumerate(self.slots) if one == index]
            shares.append((server, f"has({own}, {slot})"))
        return shares

    async def move_in(self, table: str) -> None:
        """Of a big table: readers are sent to the rows beside it, on all servers by one statement,
        and back when these have moved in on each.
        """
        if table not in BIG:
            await super().move_in(table)
            return
        await self.command(
            self._distributed("CREATE OR REPLACE TABLE", table, client.beside(table))
        )
        await self._end_move(table)

    async def _end_move(self, table: str) -> None:
        for server in self.servers:
            await server.move_in(table)
        await self.command(self._distributed("CREATE OR REPLACE TABLE", table, table))

    async def prepare(self) -> None:
        """The databases of the servers. Raises errors.Stop where their rows are cut otherwise than
        this cluster would, for a database that is one server's store, and for an entry elsewhere.
        """
        rows = await self.rows(_ENGINE)
        if rows and rows[0]["engine"] != "Distributed":
            raise errors.Stop(
                f"The database {self.address.database!r} at {self.address.location} is the store "
                f"of one server, and the cluster {self.cluster} has {len(self._servers)}: give "
                "the cluster a database of its own (CLICKHOUSE_DATABASE)"
            )
        (entry,) = await self.rows(_ENTRY)
        slots = ",".join(map(str, self.slots))
        for server in self._servers:
            await server.create_database()
        local = self._servers[0].address.database
        if not await self.rows(_DATABASE, parameters={"name": local}):
            raise errors.Stop(
                f"CLICKHOUSE_HOST names {self.address.location}, which is no server of the cluster "
                f"{self.cluster}: name one of its servers"
            )
        for index, server in enumerate(self._servers):
            await _note_layout(
                server, {"entry": entry["uuid"], "slots": slots, "server": str(index)}
            )
        for row in await self.rows(_MOVING, parameters={"beside": client.beside("")}):
            await self._end_move(row["name"])  # whoever began it was killed

    async def close(self) -> None:
        """Let go of all."""
        for server in self._servers:
            await server.close()
        await super().close()

    def stats(self) -> dict[str, int]:
        """What has been acknowledged so far, by all servers."""
        all_stats = [super().stats(), *(server.stats() for server in self._servers)]
        return {name: sum(stats[name] for stats in all_stats) for name in all_stats[0]}

    async def insert(self, table: str, lines: bytes | Sequence[bytes], *, rows: int) -> None:
        """As that of one server; each row to its own, all of them side by side.

        What one of them refuses does not keep the others from storing their rows. Raises
        errors.PartlyStored when all that failed may succeed later.
        """
        key = _KEYS.get(table)
        if key is None:
            await super().insert(table, lines, rows=rows)
            return
        parts = await self._cut([lines] if isinstance(lines, bytes) else lines, key)
        servers = self.servers
        indexes = [index for index, part in enumerate(parts) if part]
        inserts = (servers[one].insert(table, parts[one], rows=len(parts[one])) for one in indexes)
        ends = await asyncio.gather(*inserts, return_exceptions=True)
        failed = {
            index: end
            for index, end in zip(indexes, ends, strict=True)
            if isinstance(end, BaseException)
        }
        if failed:
            gravest = min(failed.values(), key=_gravity)
            if isinstance(gravest, errors.Retry):
                lacks = partial(self._is_one_at, frozenset(failed), key)
                raise errors.PartlyStored(str(gravest), lacks) from gravest
            raise gravest

    def _index_of(self, key: re.Pattern[bytes], line: bytes) -> int:
        """On which server a row is."""
        match = key.search(line)
        assert match is not None, line  # noqa: S101 - rows are encoded here
        return self.slots[zlib.crc32(match[1]) % len(self.slots)]

    def _is_one_at(self, indexes: frozenset[int], key: re.Pattern[bytes], lines: bytes) -> bool:
        return any(self._index_of(key, line) in indexes for line in lines.splitlines())

    async def _cut(self, pieces: Sequence[bytes], key: re.Pattern[bytes]) -> list[list[bytes]]:
        """The lines by server."""
        parts: list[list[bytes]] = [[] for _ in self._servers]
        for piece in pieces:
            for line in piece.splitlines(keepends=True):
                parts[self._index_of(key, line)].append(line)
            await asyncio.sleep(0)  # a batch takes a twentieth of a second
        return parts

    async def end_inserts_of(self, member: str, *, within_s: float) -> None:
        """Nothing that a member of a job has begun runs on any server when this returns."""
        await super().end_inserts_of(member, within_s=within_s)
        for server in self._servers:
            await server.end_inserts_of(member, within_s=within_s)

    async def settle_leftovers(self) -> None:
        """Outlive the inserts that an earlier, killed process left running on any server."""
        await self.prepare()  # a server without its database answers nothing
        await super().settle_leftovers()
        for server in self._servers:
            await server.settle_leftovers()


async def _note_layout(server: client.Store, layout: Mapping[str, str]) -> None:
    """Note on a server which part of the rows it holds, and of which store; once for ever."""
    columns = ", ".join(f"{statements.quoted(text)} AS {name}" for name, text in layout.items())
    await server.command(f"CREATE VIEW IF NOT EXISTS backfill_layout AS SELECT {columns}")
    (noted,) = await server.rows("SELECT * FROM backfill_layout")
    if noted != layout:
        raise errors.Stop(
            f"The database {server.address.database!r} at {server.address.location} holds rows as "
            f"{dict(noted)}, and this cluster would look for them as {dict(layout)}. A store stays "
            "with its servers, their order and their weights, and is entered by one of them: "
            "correct CLICKHOUSE_HOST or the cluster, or give CLICKHOUSE_DATABASE another name"
        )


def _gravity(failure: BaseException) -> int:
    """What must be told first when several servers fail."""
    order = (errors.GiveUp, errors.Retry, errors.Stop)
    return -next((index for index, kind in enumerate(order) if isinstance(failure, kind)), 9)


def _refuse_replicas(address: client.Address, nodes: Sequence[_Server]) -> None:
    if len(nodes) > 1 and max(one["replicas"] for one in nodes) > 1:
        raise errors.Stop(
            f"The cluster {address.cluster} at {address.location} has several shards with "
            "replicas: CLICKHOUSE_CLUSTER takes one shard with any number of replicas, or any "
            "number of shards with one server each. Name a cluster of one host of each shard"
        )


async def open_store(address: client.Address, *, clock: clocks.Clock) -> client.Store:
    """The store of this address, of however many servers. Raises what `client.open` raises."""
    store = await client.open(address, clock=clock)
    if address.cluster is None:
        return store
    try:
        nodes = await store.records(_SERVERS, _Server, parameters={"cluster": address.cluster})
        _refuse_replicas(address, nodes)
        known = await store.rows(_KNOWN, parameters={"names": list(SETTINGS)})
    except BaseException:
        await store.close()
        raise
    if len(nodes) <= 1:
        return store
    await store.close()
    return ClusteredStore(address, nodes, [row["name"] for row in known], clock=clock)
