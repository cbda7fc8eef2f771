"""Tables that live as long as one command: what several of its questions need is computed once."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncIterator

from polybackfill.store import client

_PREFIX = "scratch_"
# What a killed command left behind a day ago or longer, by the second in its name: the time of
# change that the embedded engine tells of a new table may be 1970.
_LEFT = f"""
SELECT name FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, '{_PREFIX}')
    AND toUInt32OrZero(splitByChar('_', name)[2]) < toUnixTimestamp(now()) - 86400
"""


@contextlib.asynccontextmanager
async def create(store: client.Store, definition: str, *, order: str = "key") -> AsyncIterator[str]:
    """The name of a new table, dropped afterwards. `definition`: its columns in parentheses, or
    `AS SELECT …` with what it holds. Raises what the store raises.
    """
    for row in await store.rows(_LEFT):
        await store.command(f"DROP TABLE IF EXISTS {row['name']}")
    name = f"{_PREFIX}{int(time.time())}_{uuid.uuid4().hex}"
    columns, select = (
        ("", definition) if definition.lstrip().startswith("AS ") else (definition, "")
    )
    try:
        await store.command(
            f"CREATE TABLE {name} {columns} ENGINE = MergeTree ORDER BY {order} {select}"
        )
        yield name
    finally:
        await store.command(f"DROP TABLE IF EXISTS {name}")
