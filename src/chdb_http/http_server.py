"""ClickHouse's HTTP interface in front of the embedded engine.

Inserts pass through one thread: no two of them ever check for duplicates at the same time. Reads
have threads of their own, those of the program and those of other people's tools apart, and so have
kills: whatever a tool asks, inserts and the program's own statements find a free thread.

Every request is known by its `query_id` from its first byte to the end of its work, also after its
client has gone, so `KILL QUERY WHERE query_id = '…' SYNC` can promise that nothing of that id runs
any more or ever will. A statement whose client has gone is ended, unless it is an insert of rows.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from chdb_http import (
    authentication,
    engine,
    http_request,
    http_response,
    idle_shutdown,
    secret,
    statement_guard,
    statements,
    thread_stream,
)

_OWN_THREADS, _GUEST_THREADS, _KILL_THREADS = 8, 16, 4
_WAITING_MAX = 200  # statements of tools, beside those under way; a server says 202 as well
_READ_AHEAD_BYTES = 1 << 20  # a result up to this size is sent in one piece, with its counts
_WHOLE_RESULT_BYTES = 64 << 20  # the same when the client asks to wait for the end of the query
_KILLED_REMEMBERED = 10_000
_BODY_MAX_BYTES = 1 << 31
_KILL_AGAIN_S = 1.0  # a kill finds nothing as long as the engine still prepares the statement
_SEND_S = 300.0  # for a client that does not read what it asked for; a server's own is 30 s
_TOO_MANY_SIMULTANEOUS_QUERIES = 202
_CALLER = web.RequestKey("caller", authentication.Caller)


@dataclass
class RunningQuery:
    """One request at work. `threaded`: its end is a thread's business; `started`: that thread is
    in the engine."""

    query_id: str
    threaded: bool = False
    started: bool = False
    cancelled: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class _Threads:
    """Threads that enter the engine: one that writes, and some for each kind of caller."""

    def __init__(self) -> None:
        self.writer = ThreadPoolExecutor(1, "writer")
        self.own = ThreadPoolExecutor(_OWN_THREADS, "own")
        self.guests = ThreadPoolExecutor(_GUEST_THREADS, "guest")
        self.killers = ThreadPoolExecutor(_KILL_THREADS, "kill")

    def shut_down(self) -> None:
        """Begin nothing more, and wait for none."""
        for pool in (self.writer, self.own, self.guests, self.killers):
            pool.shutdown(wait=False, cancel_futures=True)


class HttpServer:
    """The handlers. The engine is entered from threads only."""

    def __init__(
        self,
        opened: engine.Engine,
        users: idle_shutdown.StoreUsers,
        authenticator: authentication.Authenticator,
        hold_path: str,
        listen: Callable[[int], Awaitable[None]],
    ) -> None:
        """`hold_path`: where users take their leases; `listen`: answers on one more port too."""
        self._engine = opened
        self._users = users
        self._authenticator = authenticator
        self._hold_path = hold_path
        self._listen = listen
        self._running: dict[str, RunningQuery] = {}
        self._killed: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._killing: set[asyncio.Task[None]] = set()
        self._guests = 0
        self._threads = _Threads()

    def application(self) -> web.Application:
        """The HTTP application."""
        app = web.Application(middlewares=[self._admitted], client_max_size=_BODY_MAX_BYTES)
        app.on_response_prepare.append(_add_proof)
        app.router.add_get("/ping", _ping)
        app.router.add_get(self._hold_path, self._lease)
        app.router.add_get("/", self._statement)
        app.router.add_post("/", self._statement)
        return app

    async def close(self, within_s: float) -> bool:
        """End what still runs; False when something of it does not end in time."""
        running = list(self._running.values())
        for one in running:
            self._abandon(one)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for one in running:
                    await one.ended.wait()
        self._threads.shut_down()
        return not self._running

    @web.middleware
    async def _admitted(
        self, request: web.Request, handler: Callable[[web.Request], object]
    ) -> web.StreamResponse:
        if authentication.is_from_browser(request):
            raise web.HTTPForbidden(text="this store answers local programs only\n")
        if request.path != "/ping":
            caller = self._authenticator.authenticate(request)
            if caller is None:
                return web.Response(
                    text=authentication.refusal_text(),
                    status=403,
                    headers={
                        "X-ClickHouse-Exception-Code": str(authentication.AUTHENTICATION_FAILED)
                    },
                )
            request[_CALLER] = caller
        return await handler(request)  # type: ignore[no-any-return, misc]

    async def _lease(self, request: web.Request) -> web.StreamResponse:
        if wanted := request.query.get("port"):
            try:
                await self._listen(int(wanted))
            except (ValueError, OSError) as error:
                raise web.HTTPConflict(text=f"{error}\n") from error
        response = web.StreamResponse()
        with self._users.holding():
            await response.prepare(request)
            await response.write(b"held\n")
            await self._users.ended.wait()
        return response

    async def _statement(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        with self._users.requesting():
            try:
                async with self._known(query_id) as running:
                    return await self._answer(request, running)
            except engine.EngineError as error:
                return http_response.error_response(error, query_id)
            except statement_guard.Refused as error:
                return http_response.error_response(
                    engine.refused(error.code, str(error)), query_id
                )
            except ValueError as error:
                return http_response.error_response(engine.refused(36, str(error)), query_id)

    @asynccontextmanager
    async def _known(self, query_id: str) -> AsyncIterator[RunningQuery]:
        if query_id in self._killed:
            raise engine.refused(engine.CANCELLED, "Query was cancelled before it arrived")
        if query_id in self._running:
            raise engine.refused(216, f"Query with id = {query_id} is already running")
        running = self._running[query_id] = RunningQuery(query_id)
        try:
            yield running
        finally:
            if not running.threaded:
                self._end(running)

    def _end(self, running: RunningQuery) -> None:
        del self._running[running.query_id]
        running.ended.set()

    async def _answer(self, request: web.Request, running: RunningQuery) -> web.StreamResponse:
        own = request[_CALLER].own and secret.GUEST_HEADER not in request.headers
        statement = await http_request.read_request(
            request, running.query_id, self._engine, own=own
        )
        target = statements.killed_query(statement.query.sql)
        if target is not None:
            return await self._kill(target, statement)
        if statement.insert is not None:
            return await self._insert(statement, statement.insert, running)
        if own:
            return await self._select(request, statement, running, self._threads.own)
        if self._guests >= _GUEST_THREADS + _WAITING_MAX:
            raise engine.refused(
                _TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries: {self._guests}"
            )
        self._guests += 1
        try:
            return await self._select(request, statement, running, self._threads.guests)
        finally:
            self._guests -= 1

    async def _in_thread(
        self,
        pool: Executor,
        running: RunningQuery,
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
            if not done.cancelled():
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
        self,
        statement: http_request.StatementRequest,
        insert: statements.Insert,
        running: RunningQuery,
    ) -> web.Response:
        rows = statement.rows or self._engine.spool()
        work = functools.partial(
            self._engine.insert, statement.query, insert, rows, statement.compression
        )
        counts = await self._in_thread(self._threads.writer, running, work, rows.close)
        return web.Response(headers=http_response.headers(statement, counts))

    async def _kill(self, target: str, statement: http_request.StatementRequest) -> web.Response:
        """Answer when nothing of that id runs; should it only arrive later, it is refused."""
        self._killed[target] = None
        while len(self._killed) > _KILLED_REMEMBERED:
            self._killed.popitem(last=False)
        running = self._running.get(target)
        if running is not None:
            await self._end_in_engine(running)
        body = f"finished\t{target}\tdefault\t\n" if running else ""
        return web.Response(text=body, headers=http_response.headers(statement, engine.Counts()))

    def _abandon(self, running: RunningQuery) -> None:
        """End a statement that nobody waits for; the kill is repeated until it has ended."""
        task = asyncio.create_task(
            self._end_in_engine(running), name=f"end of query {running.query_id}"
        )
        self._killing.add(task)
        task.add_done_callback(self._killing.discard)

    async def _end_in_engine(self, running: RunningQuery) -> None:
        running.cancelled = True  # for the thread that has not begun with it
        kill = functools.partial(self._engine.kill, running.query_id)
        loop = asyncio.get_running_loop()
        while not running.ended.is_set():
            if running.started:
                loop.run_in_executor(self._threads.killers, kill).add_done_callback(_ignore_error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KILL_AGAIN_S):
                    await running.ended.wait()

    async def _select(
        self,
        request: web.Request,
        statement: http_request.StatementRequest,
        running: RunningQuery,
        pool: Executor,
    ) -> web.StreamResponse:
        pieces = thread_stream.ThreadStream()

        def work() -> engine.Counts:
            try:
                return self._engine.select(statement.query, pieces.put)
            finally:
                with contextlib.suppress(
                    thread_stream.Abandoned
                ):  # then nobody waits for the end either
                    pieces.put(None)

        if statement.writes_rows:
            pool = self._threads.writer
        counts = asyncio.ensure_future(self._in_thread(pool, running, work))
        try:
            return await self._send(request, statement, pieces, counts)
        except BaseException:
            # The client has gone, or does not read; rows that came with their INSERT are stored.
            pieces.abandon()
            if not (statement.writes_rows or running.ended.is_set()):
                self._abandon(running)
            raise

    async def _send(
        self,
        request: web.Request,
        statement: http_request.StatementRequest,
        pieces: thread_stream.ThreadStream,
        counts: asyncio.Future[engine.Counts],
    ) -> web.StreamResponse:
        limit_bytes = _WHOLE_RESULT_BYTES if statement.wait_for_end else _READ_AHEAD_BYTES
        ahead: list[bytes] = []
        while sum(map(len, ahead)) <= limit_bytes:
            piece = await pieces.get()
            if piece is None:
                return http_response.complete_response(statement, b"".join(ahead), await counts)
            ahead.append(piece)
        response = http_response.begin_stream(statement)
        await response.prepare(request)
        for piece in ahead:
            await _write(request, response, piece)
        while (piece := await pieces.get()) is not None:
            await _write(request, response, piece)
        return await _finished(request, response, counts)


async def _write(request: web.Request, response: web.StreamResponse, piece: bytes) -> None:
    """Send a piece; abort a client that does not read, so that its thread becomes free."""
    try:
        async with asyncio.timeout(_SEND_S):
            await response.write(piece)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise


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


async def _add_proof(request: web.Request, response: web.StreamResponse) -> None:
    """Prove to one of our commands that the store itself answers."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    caller = request.get(_CALLER)
    if caller is not None and caller.own:
        response.headers[secret.PROOF_HEADER] = caller.server_proof


def _ignore_error(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()  # the statement had ended, or the kill is repeated


async def _ping(request: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")
