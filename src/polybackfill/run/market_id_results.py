"""What the commands on market ids share: their lock, the store as it is, the finalized document."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from polybackfill import errors, settings
from polybackfill.filesystem import files, host_lock
from polybackfill.inputs import lookup_results
from polybackfill.run import bootstrap
from polybackfill.store import client, market_ids, migrate

RESULT = "market_id_lookup_results.json"
LOCK_FILE = Path("runtime") / "market-ids.lock"
_TURN_S = 1.0  # the other one takes minutes


def write_result(data_dir: Path) -> dict[str, Any]:
    """Write the document of all lookups so far, maybe none, and return it. Raises errors.Stop."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    results = lookup_results.read(data_dir / lookup_results.RESULTS)
    document = lookup_results.finalized(results, moment)
    with files.stopping("write", data_dir / RESULT):
        files.write_atomic(data_dir / RESULT, orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return document


async def has_all_ids(chosen: settings.Settings) -> bool:
    """Whether every trade has its market id, so that there is nothing to look up."""
    async with open_store(chosen) as store:
        async for _ in market_ids.MarketIds(store).missing():
            return False
    return True


@contextlib.asynccontextmanager
async def open_store(chosen: settings.Settings) -> AsyncIterator[client.Store]:
    """The store, as it is. Raises errors.Stop when it was not made by this version's `init`."""
    async with bootstrap.open_store(chosen) as store:
        missing = await migrate.missing(store)
        if missing:
            raise errors.Stop(
                f"the store at {store.address.location} lacks {', '.join(missing)}; "
                "create them: polybackfill init"
            )
        yield store


def hold_lock(data_dir: Path) -> contextlib.AbstractContextManager[None]:
    """One lookup or apply at a time. Raises errors.Stop (75) when there is another."""
    return host_lock.hold(data_dir / LOCK_FILE, "market-ids lookup or apply", within_s=_TURN_S)
