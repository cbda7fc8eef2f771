"""The floor: fetch the same pages with a bare aiohttp loop, parse them with orjson, throw away.

    python tests/bench/bench_floor.py URL FILE

FILE: one unit a line, `path?query` without a cursor, as the daemon asks it. Prints a JSON object:
rows, pages, and the processor seconds from the first request to the last answer.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import uvloop

WALKERS = 8


async def walk(session: aiohttp.ClientSession, questions: Iterator[str]) -> tuple[int, int]:
    """Take questions until none is left; rows and pages."""
    rows = pages = 0
    for question in questions:
        cursor = ""
        while cursor is not None:
            async with session.get(question + (f"&cursor={cursor}" if cursor else "")) as reply:
                answer = orjson.loads(await reply.read())
            rows += len(answer["data"])
            pages += 1
            cursor = answer["pagination"]["next_cursor"]
    return rows, pages


async def main(asked: list[str]) -> None:
    questions = iter(asked)
    # The daemon's own buffer size: with aiohttp's default the floor would be higher.
    async with aiohttp.ClientSession(read_bufsize=1 << 20) as session:
        before = resource.getrusage(resource.RUSAGE_SELF)
        found = await asyncio.gather(*(walk(session, questions) for _ in range(WALKERS)))
        after = resource.getrusage(resource.RUSAGE_SELF)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rows, pages = (sum(part) for part in zip(*found, strict=True))
    print(json.dumps({"rows": rows, "pages": pages, "cpu_s": used_s}))


if __name__ == "__main__":
    uvloop.run(main([sys.argv[1] + line for line in Path(sys.argv[2]).read_text().splitlines()]))
