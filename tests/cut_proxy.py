"""A wire to a server of this machine that can be cut: resets, or silence as of a lost network."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests import harness

_READ = 1 << 16


class CutProxy:
    """Listens at `port` and passes on what comes, until it is cut."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._ready, self._ended = threading.Event(), asyncio.Event()
        self._flowing = asyncio.Event()
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._serve()), daemon=True
        )

    def start(self) -> None:
        """Listen."""
        self._flowing.set()
        self._thread.start()
        assert self._ready.wait(harness.START_S), "the proxy did not start"

    def close(self) -> None:
        """End it, and every connection."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()

    def cut(self, *, silent: bool) -> None:
        """From now on no byte passes. `silent`: connections stay, and new ones are taken; else all
        are reset.
        """
        self._loop.call_soon_threadsafe(self._flowing.clear if silent else self._reset)

    def mend(self) -> None:
        """Bytes pass again, those that waited first."""
        self._loop.call_soon_threadsafe(self._allow)

    def _reset(self) -> None:
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def _allow(self) -> None:
        self._refuses = False
        self._flowing.set()

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._join, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._ended.wait()
            connections = asyncio.all_tasks() - {asyncio.current_task()}
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            await self._flowing.wait()
            further_reader, further_writer = await asyncio.open_connection(
                "127.0.0.1", self._target
            )
        except OSError:  # the server is away: so is the proxy
            writer.transport.abort()
            return
        both = {writer, further_writer}
        self._writers |= both
        ways = [
            asyncio.create_task(self._pass_on(reader, further_writer)),
            asyncio.create_task(self._pass_on(further_reader, writer)),
        ]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the end of the proxy
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= both
            for one in both:
                one.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while read := await reader.read(_READ):
                await self._flowing.wait()
                writer.write(read)
                await writer.drain()


@contextlib.contextmanager
def before(port: int) -> Iterator[CutProxy]:
    """A proxy before that port of this machine."""
    proxy = CutProxy(port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
