"""Pieces of a result on their way from an engine thread to the event loop, a few at a time."""

from __future__ import annotations

import asyncio

_PIECES_AHEAD = 4


class Abandoned(Exception):
    """Nobody reads this result any more."""


class ThreadStream:
    """A bounded queue: one engine thread calls `put`, the event loop everything else."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES_AHEAD)
        self._abandoned = False

    def put(self, piece: bytes | None) -> None:
        """Hand over a piece, None after the last; blocks while the reader is behind.

        Raises Abandoned when nobody reads.
        """
        if self._abandoned:
            raise Abandoned
        asyncio.run_coroutine_threadsafe(self._pieces.put(piece), self._loop).result()

    async def get(self) -> bytes | None:
        """The next piece, None after the last."""
        return await self._pieces.get()

    def abandon(self) -> None:
        """Stop reading: the thread gets Abandoned instead of waiting for ever."""
        self._abandoned = True
        while not self._pieces.empty():
            self._pieces.get_nowait()
