"""ClickHouse's HTTP interface in front of the embedded engine.

Inserts pass through one thread: no two of them ever check for duplicates at the same time. Reads
have threads of their own. Every request is known by its `query_id` from its first byte to the end
of its work, also after its client has gone, so `KILL QUERY WHERE query_id = '…' SYNC` can promise
that nothing of that id runs any more or ever will.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import os
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import hdrs, web

from polybackfill.store import asked, engine, lifetime, pipe, replies, statements

_READERS = 6
_READ_AHEAD_BYTES = 1 << 20  # a result up to this size is sent in one piece, with its counts
_WHOLE_RESULT_BYTES = 64 << 20  # the same when the client asks to wait for the end of the query
_KILLED_REMEMBERED = 10_000
_BODY_MAX_BYTES = 1 << 31
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass
class Running:
    """One request at work. `threaded`: its end is a thread's business; `started`: that thread is
    in the engine."""

    query_id: str
    threaded: bool = False
    started: bool = False
    cancelled: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Wire:
    """The handlers. The engine is entered from threads only."""

    def __init__(self, opened: engine.Engine, users: lifetime.Users) -> None:
        self._engine = opened
        self._users = users
        self._running: dict[str, Running] = {}
        self._killed: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._writer = ThreadPoolExecutor(1, "writer")
        self._readers = ThreadPoolExecutor(_READERS, "reader")

    def application(self) -> web.Application:
        """The HTTP application."""
        app = web.Application(middlewares=[_local_only], client_max_size=_BODY_MAX_BYTES)
        app.router.add_get("/ping", _ping)
        app.router.add_get(f"/_hold/{os.getpid()}", self._hold)
        app.router.add_route("*", "/", self._statement)
        return app

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._writer.shutdown()
        self._readers.shutdown()

    async def _hold(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        with self._users.holding():
            await response.prepare(request)
            await response.write(b"held\n")
            await self._users.ended.wait()
        return response

    async def _statement(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        with self._users.asking():
            try:
                async with self._known(query_id) as running:
                    return await self._answer(request, running)
            except engine.EngineError as error:
                return replies.refusal(error, query_id)
            except ValueError as error:
                return replies.refusal(engine.refused(36, str(error)), query_id)

    @asynccontextmanager
    async def _known(self, query_id: str) -> AsyncIterator[Running]:
        if query_id in self._killed:
            raise engine.refused(engine.CANCELLED, "Query was cancelled before it arrived")
        if query_id in self._running:
            raise engine.refused(216, f"Query with id = {query_id} is already running")
        running = self._running[query_id] = Running(query_id)
        try:
            yield running
        finally:
            if not running.threaded:
                self._end(running)

    def _end(self, running: Running) -> None:
        del self._running[running.query_id]
        running.ended.set()

    async def _answer(self, request: web.Request, running: Running) -> web.StreamResponse:
        statement = await asked.read(request, running.query_id, self._engine)
        target = statements.killed_query(statement.query.sql)
        if target is not None:
            return await self._kill(target, statement)
        if statement.insert is not None:
            return await self._insert(statement, statement.insert, running)
        return await self._select(request, statement, running)

    async def _in_thread(
        self,
        pool: Executor,
        running: Running,
        work: Callable[[], engine.Counts],
        release: Callable[[], None] | None = None,
    ) -> engine.Counts:
        """Do `work` in a thread, to its end even when the client goes away meanwhile."""

        def job() -> engine.Counts:
            if running.cancelled:
                raise engine.refused(engine.CANCELLED, "Query was cancelled")
            running.started = True
            return work()

        def after(done: asyncio.Future[engine.Counts]) -> None:
            done.exception()  # looked at: the client it concerns may have gone
            self._end(running)
            if release is not None:
                release()

        running.threaded = True
        future = asyncio.wrap_future(pool.submit(job))
        future.add_done_callback(after)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            running.cancelled = True
            raise

    async def _insert(
        self, statement: asked.Asked, insert: statements.Insert, running: Running
    ) -> web.Response:
        rows = statement.rows or self._engine.spool()
        work = functools.partial(
            self._engine.insert, statement.query, insert, rows, statement.compression
        )
        counts = await self._in_thread(self._writer, running, work, rows.close)
        return web.Response(headers=replies.headers(statement, counts))

    async def _kill(self, target: str, statement: asked.Asked) -> web.Response:
        """Answer when nothing of that id runs; should it only arrive later, it is refused."""
        self._killed[target] = None
        while len(self._killed) > _KILLED_REMEMBERED:
            self._killed.popitem(last=False)
        running = self._running.get(target)
        if running is not None:
            running.cancelled = True
            if running.started:
                await self._kill_in_engine(target)
            await running.ended.wait()
        body = f"finished\t{target}\tdefault\t\n" if running else ""
        return web.Response(text=body, headers=replies.headers(statement, engine.Counts()))

    async def _kill_in_engine(self, query_id: str) -> None:
        kill = functools.partial(self._engine.kill, query_id)
        await asyncio.get_running_loop().run_in_executor(self._readers, kill)

    async def _select(
        self, request: web.Request, statement: asked.Asked, running: Running
    ) -> web.StreamResponse:
        pieces = pipe.Pipe()

        def work() -> engine.Counts:
            try:
                return self._engine.select(statement.query, pieces.put)
            finally:
                with contextlib.suppress(pipe.Abandoned):  # then nobody waits for the end either
                    pieces.put(None)

        pool = self._writer if statement.writes_rows else self._readers
        counts = asyncio.ensure_future(self._in_thread(pool, running, work))
        try:
            return await self._send(request, statement, pieces, counts)
        except asyncio.CancelledError:
            pieces.abandon()
            if statement.only_reads and running.started:
                self._readers.submit(self._engine.kill, running.query_id)
            raise

    async def _send(
        self,
        request: web.Request,
        statement: asked.Asked,
        pieces: pipe.Pipe,
        counts: asyncio.Future[engine.Counts],
    ) -> web.StreamResponse:
        limit_bytes = _WHOLE_RESULT_BYTES if statement.wait_for_end else _READ_AHEAD_BYTES
        ahead: list[bytes] = []
        while sum(map(len, ahead)) <= limit_bytes:
            piece = await pieces.get()
            if piece is None:
                return replies.whole(statement, b"".join(ahead), await counts)
            ahead.append(piece)
        response = replies.stream(statement)
        await response.prepare(request)
        for piece in ahead:
            await response.write(piece)
        while (piece := await pieces.get()) is not None:
            await response.write(piece)
        return await _finished(request, response, counts)


async def _finished(
    request: web.Request,
    response: web.StreamResponse,
    counts: asyncio.Future[engine.Counts],
) -> web.StreamResponse:
    try:
        await counts
    except engine.EngineError as error:
        # The status is out already: name the cause, then break the connection instead of ending
        # the body properly, so that no client takes it for the whole result.
        await response.write(f"\n{error}\n".encode())
        if request.transport is not None:
            request.transport.abort()
    return response


@web.middleware
async def _local_only(
    request: web.Request,
    handler: Callable[[web.Request], object],
) -> web.StreamResponse:
    """A web page the user looks at must not reach the store through his browser.

    It could send requests to loopback, or point a host name of its own at it.
    """
    name = request.host.rsplit(":", 1)[0].strip("[]")
    if name not in _LOOPBACK_NAMES or hdrs.ORIGIN in request.headers:
        raise web.HTTPForbidden(text="this store answers local programs only\n")
    return await handler(request)  # type: ignore[no-any-return, misc]


async def _ping(request: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")
