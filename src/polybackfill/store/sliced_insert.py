"""Fills of several daemons, inserted slice by slice: at any time one daemon inserts into a slice.

The check for duplicates sees what is stored, not what another insert is about to store, and a fill
comes from two feeds, its market's and its wallet's, maybe on two hosts in the same second. So a
batch is cut by market, and who inserts the fills of a slice has its row of `backfill_slices` until
the store has acknowledged them. All other rows have one source, which one daemon works on.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence

from polybackfill import clocks, errors
from polybackfill.store import client, job_tables

FILLS = "external_trades_landing"
_MARKET = b'"condition_id":"'
_MARKET_DIGITS = 64
_AGAIN_S = (0.02, 0.1)  # until the slices are looked at again


def slice_number(condition: bytes, slices: int) -> int:
    """The slice of a market's fills."""
    return zlib.crc32(condition) % slices


class SlicedInsert:
    """The store, as the writer of one member of a job needs it.

    `most`: how many slices it may have at once, so that others find some free.
    """

    def __init__(
        self,
        store: client.Store,
        tables: job_tables.JobTables,
        *,
        job: str,
        member: str,
        slices: int,
        most: Callable[[], int],
        clock: clocks.Clock,
    ) -> None:
        self._store = store
        self._tables = tables
        self._names = [f"{job} {number}" for number in range(slices)]
        self._member = member
        self._most = most
        self._clock = clock
        self._rng = random.Random()  # noqa: S311  (jitter)
        self._claimed: list[str] = []  # also of an insert that broke off, until one has ended well
        self._is_releasing = False  # also when that broke off: others may have them by now

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """As the store's own. Raises what it raises."""
        if table != FILLS:
            await self._store.insert(table, lines, rows=rows)
            return
        waiting = await self._cut(lines)
        while waiting:
            if self._is_releasing:
                await self._tables.outlive_releases()
                await self._release()
            self._claimed = self._claimed or await self._claim(sorted(waiting))
            mine = [name for name in self._claimed if name in waiting]
            if mine:
                await self._insert([line for name in mine for line in waiting.pop(name)])
            elif not self._claimed:
                await self._clock.sleep(self._rng.uniform(*_AGAIN_S))
            await self._release()

    async def _insert(self, lines: Sequence[bytes]) -> None:
        try:
            await self._store.insert(FILLS, lines, rows=len(lines))
        except errors.PartlyStored as error:  # of these slices, and the others were not sent
            raise errors.Retry(str(error)) from error
        except errors.GiveUp:
            await self._release()  # refused, so it has ended
            raise

    async def _cut(self, lines: Sequence[bytes]) -> dict[str, list[bytes]]:
        """The lines by the name of their slice."""
        by_slice: dict[str, list[bytes]] = defaultdict(list)
        for piece in lines:
            for line in piece.splitlines(keepends=True):
                first = line.index(_MARKET) + len(_MARKET)
                number = slice_number(line[first : first + _MARKET_DIGITS], len(self._names))
                by_slice[self._names[number]].append(line)
            await asyncio.sleep(0)  # a batch takes a twentieth of a second
        return by_slice

    async def _claim(self, wanted: list[str]) -> list[str]:
        self._rng.shuffle(wanted)
        return await self._tables.claim_slices(self._member, wanted, self._most())

    async def _release(self) -> None:
        if self._claimed:
            self._is_releasing = True
            await self._tables.release_slices(self._member, self._claimed)
            self._claimed, self._is_releasing = [], False
