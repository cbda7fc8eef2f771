"""The store's child process: the embedded engine, served on loopback until its last user is gone.

Started as `python -m chdb_http`, never forked: the engine hangs after a fork. A
user holds one request to `/_hold` open, which the kernel closes even after SIGKILL. SIGINT is not
for this process; after SIGTERM it ends with the last hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import msgspec
from aiohttp import web

from chdb_http import (
    authentication,
    child_log,
    endpoint_file,
    engine_config,
    idle_shutdown,
    landlock,
    secret,
)

if TYPE_CHECKING:
    from chdb_http import engine

_SHUTDOWN_S = 2.0
_STATEMENTS_S = 8.0  # for what still runs when the last user has gone
_CLOSE_S = 20.0  # for the engine to write out what it has in memory
_READ_BUFFER_BYTES = 1 << 20
_LINE_MAX_BYTES = 1 << 20  # as a ClickHouse server takes
_UNATTACHED = re.compile(
    r"DB::Exception: (?P<cause>(?:(?!DB::Exception: ).)*?):? "
    r"Cannot attach table (?P<table>\S+) from metadata file (?P<file>.+?) from query ",
    re.DOTALL,
)


def main() -> int:
    """Own the folder and serve it; the exit code says whether that was possible."""
    parser = argparse.ArgumentParser(prog="python -m chdb_http")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--lock-wait", type=float, default=0.0)
    parser.add_argument("--log-bytes", type=int, default=child_log.LIMIT_BYTES)
    parser.add_argument("--log-files", type=int, default=child_log.FILES)
    arguments = parser.parse_args()
    folder: Path = arguments.data_dir.resolve()
    lock = filelock.FileLock(endpoint_file.lock_path(folder), timeout=arguments.lock_wait)
    try:
        with lock:
            return _serve_folder(folder, arguments)
    except filelock.Timeout:
        holder = endpoint_file.read(folder)
        who = f"process {holder.pid}" if holder and holder.pid else "another process"
        return _report_failure(f"{folder} is in use by {who}", locked=True)
    except OSError as error:
        return _report_failure(f"cannot use {folder}: {error}", errno=error.errno)


def _serve_folder(folder: Path, arguments: argparse.Namespace) -> int:
    port: int | None = arguments.port
    before = endpoint_file.read(folder)
    key = secret.read_or_create(folder)
    path = engine_config.enter_folder(folder)
    listener = _open_listener(before, port)
    _raise_open_files()
    landlock.restrict(folder)
    # The engine starts threads as soon as it is loaded, and what runs in them must be restricted.
    try:
        from chdb_http import engine  # noqa: PLC0415
    except RuntimeError as error:
        return _report_failure(f"the engine cannot be loaded: {error}", engine_error=str(error))
    said_before = endpoint_file.log_path(folder).stat().st_size
    try:
        opened = engine.Engine(folder, path)
    except engine.EngineError as error:
        if why := _unresolved_definition(folder, str(error), said_before):
            return _report_failure(why)
        return _report_failure(
            f"the engine cannot open {folder}: {error}",
            locked=error.code == 76,
            engine_error=str(error),
        )
    endpoint = endpoint_file.Endpoint(
        endpoint_file.HOST,
        listener.getsockname()[1],
        os.getpid(),
        time.time(),
        kept=port or (before.kept if before else None),
    )
    try:
        child = _Child(folder, opened, endpoint, key)
        keep_log = functools.partial(
            child_log.keep_bounded,
            endpoint_file.log_path(folder),
            arguments.log_bytes,
            arguments.log_files,
        )
        asyncio.run(child.serve(listener, keep_log))
    finally:
        _exit_within(_CLOSE_S)
        opened.close()
    return 0


def _unresolved_definition(folder: Path, error: str, said_before: int) -> str | None:
    """Of an engine that cannot start: which table's definition it does not understand, and what
    to do about it; None when that is not why. Some the engine names in its log alone.
    """
    with endpoint_file.log_path(folder).open("rb") as log:
        log.seek(said_before)
        said = log.read().decode(errors="replace")
    found = _UNATTACHED.search(f"{error}\n{said}")
    if found is None:
        return None
    file = folder / "engine" / found["file"]  # an absolute one stays as it is
    return (
        f"the definition of table {found['table'].replace('`', '')} does not resolve any more "
        f"({found['cause']}). Copy {file}, take out of it what does not resolve (a projection, an "
        "index, a column's default) and start again: the rows of the table stay where they are"
    )


def _raise_open_files() -> None:
    """As many open files as the system allows this process: the engine opens two for each column
    of each part it reads, and the usual 1,024 end within a merge."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS says unlimited and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _exit_within(seconds: float) -> None:
    """End the process after so many seconds, even if the engine has not closed by then.

    Nothing is lost: what was acknowledged is in its files, and the next start reads them.
    """
    limit = threading.Timer(seconds, os._exit, [1])
    limit.daemon = True
    limit.start()


def _report_failure(
    message: str, *, locked: bool = False, errno: int | None = None, engine_error: str | None = None
) -> int:
    _report(endpoint_file.StartReport(None, message, locked, errno, engine_error))
    return 1


def _report(report: endpoint_file.StartReport) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()
    # The reader of that line may exit before us: what is printed from now on goes to the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


class _Child:
    """The HTTP server of this process: on the port it reports, and on ports requested later."""

    def __init__(
        self,
        folder: Path,
        opened: engine.Engine,
        endpoint: endpoint_file.Endpoint,
        key: secret.Secret,
    ) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._users = idle_shutdown.StoreUsers()
        assert endpoint.pid is not None  # noqa: S101 - it is ours
        from chdb_http import http_server  # noqa: PLC0415 - it loads the engine

        self._http = http_server.HttpServer(
            opened,
            self._users,
            authentication.Authenticator(key, secret.child_name(endpoint.pid, endpoint.port)),
            endpoint_file.hold_path(endpoint.pid),
            self._listen_also,
        )
        self._runner = web.AppRunner(
            self._http.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_S,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            max_line_size=_LINE_MAX_BYTES,
            max_field_size=_LINE_MAX_BYTES,
        )
        self._ports = {endpoint.port}

    async def serve(
        self, listener: socket.socket, keep_log: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        """Answer until nobody needs the store; `keep_log` bounds the log meanwhile."""
        _on_signals(self._users)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        endpoint_file.write(self._folder, self._endpoint)
        _report(endpoint_file.StartReport(self._endpoint))
        keeping = asyncio.create_task(keep_log(), name="store log")
        await self._users.wait_until_unneeded()
        keeping.cancel()
        await self._runner.cleanup()
        if not await self._http.close(_STATEMENTS_S):
            print("a statement does not end: the process ends without it", file=sys.stderr)
            os._exit(1)
        endpoint_file.write(self._folder, msgspec.structs.replace(self._endpoint, pid=None))

    async def _listen_also(self, port: int) -> None:
        """Answer on this port as well, and on it alone after the next start."""
        if port not in self._ports:
            await web.SockSite(self._runner, _bind(port)).start()
            self._ports.add(port)
        self._endpoint = msgspec.structs.replace(self._endpoint, kept=port)
        endpoint_file.write(self._folder, self._endpoint)


def _on_signals(users: idle_shutdown.StoreUsers) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, users.end)


def _open_listener(before: endpoint_file.Endpoint | None, wanted: int | None) -> socket.socket:
    """A bound socket on the wanted port. Without one: on the port requested last, else the one
    used last, else any; the first that is free. Raises OSError when the wanted port is taken.
    """
    if wanted:
        return _bind(wanted)
    for port in (before.kept, before.port) if before else ():
        if port:
            with contextlib.suppress(OSError):
                return _bind(port)
    return _bind(0)


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((endpoint_file.HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"port {port} of {endpoint_file.HOST} is not to be had: {reason}") from error
    return listener
