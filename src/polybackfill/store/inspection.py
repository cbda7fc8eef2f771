"""The state of the tables of fetched rows, by which a loss is noticed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path

from polybackfill.checkpoint import store_state
from polybackfill.store import client, query_files

_OF_ALL_KINDS = ("quarantine", "ingested_keys")
_STATE = query_files.read("state_of_tables")
_TORN = """
SELECT DISTINCT table, name AS projection FROM system.projection_parts
WHERE database = currentDatabase() AND active AND is_broken
"""
_LEFT_BEFORE = "SELECT count() AS n FROM clean_stops WHERE token = {token:UUID}"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_S = 60  # a server tells since how many seconds it runs


async def inspect(
    store: client.Store, fetched: Mapping[str, bool], *, clean_stop: str = ""
) -> store_state.StoreState:
    """The tables as they are now. `fetched`: the name of each table of fetched rows, and whether it
    never holds fewer rows than before, whatever is merged. Raises what the store raises.
    """
    tables = await _tables(store, fetched)
    boots = [await _boot(store)]
    for server in store.servers:
        if server is not store:
            location = server.address.location
            for name, table in (await _tables(server, fetched)).items():
                tables[store_state.name_at(name, location)] = table
            boots.append(await _boot(server))
    return store_state.StoreState(clean_stop=clean_stop, boot=" ".join(boots), tables=tables)


async def _tables(store: client.Store, fetched: Mapping[str, bool]) -> dict[str, store_state.Table]:
    rows = await store.rows(_STATE, parameters={"names": [*fetched, *_OF_ALL_KINDS]})
    return {
        row["name"]: store_state.Table(
            uuid=row["uuid"],
            least_rows=row["rows"] if fetched.get(row["name"]) else 0,
            broken_parts=row["broken"],
        )
        for row in rows
    }


async def leave_token(store: client.Store, run_name: str) -> str:
    """Note in the store that a run has ended cleanly; what its checkpoint is to remember."""
    token = str(uuid.uuid4())
    await store.command(
        "INSERT INTO clean_stops (run_name, token) SELECT {run_name:String}, {token:UUID}",
        parameters={"run_name": run_name, "token": token},
    )
    return token


async def knows_token(store: client.Store, token: str) -> bool:
    """Was this token left in the store?"""
    if not token:
        return False
    (row,) = await store.rows(_LEFT_BEFORE, parameters={"token": token})
    return bool(row["n"])


async def mend_projections(store: client.Store) -> list[str]:
    """Make projections anew that a power cut tore; the tables they belong to.

    ClickHouse does not sync them with the part they come with, and reads the part without them
    afterwards: right and slow, and it merges such parts with no other.
    """
    mended = []
    for server in store.servers:
        for row in await server.rows(_TORN):
            await server.command(
                f"ALTER TABLE {row['table']} MATERIALIZE PROJECTION {row['projection']}"
            )
            mended.append(row["table"])
    return mended


async def _boot(store: client.Store) -> str:
    """Which start of the embedded store's machine, or of the server, this is."""
    if store.address.embedded:
        try:
            return (await asyncio.to_thread(_BOOT_ID.read_text)).strip()
        except OSError:  # not on every system
            return ""
    sql = "SELECT intDiv(toUnixTimestamp(now()) - toUInt32(uptime()), {step:UInt32}) AS minute"
    (row,) = await store.rows(sql, parameters={"step": _START_S})
    return str(row["minute"])
