"""Fetch every trade of one market: python examples/backfill_one_market.py CONDITION_ID

Settings come from backfill.toml and the environment, as for the commands: BACKFILL_DATA_DIR says
where the embedded ClickHouse keeps the rows. A second start fetches nothing that is stored already.
"""

import asyncio
import sys

from polybackfill import Backfill, RunRequest, RunSummary, settings


async def fetch_market(condition_id: str) -> RunSummary:
    """Fetch the trades of a condition, whose id is 64 hex digits, with or without 0x."""
    key = condition_id.lower().removeprefix("0x")
    request = RunRequest(parts=("conditions",), conditions=(key,))
    return await Backfill(settings.load(), request).run()


if __name__ == "__main__":
    summary = asyncio.run(fetch_market(sys.argv[1]))
    print(*summary.lines, sep="\n")
    sys.exit(summary.exit_code)
