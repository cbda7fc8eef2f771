"""The store's child process: the embedded engine, served on loopback until its last user is gone.

Started as `python -m polybackfill.store.server`, never forked: the engine hangs after a fork. A
user holds one request to `/_hold` open, which the kernel closes even after SIGKILL. SIGINT is not
for this process; after SIGTERM it ends with the last hold.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import filelock
import msgspec
from aiohttp import web

from polybackfill.store import child_log, engine, lifetime, rendezvous, wire

_SHUTDOWN_S = 2.0
_READ_BUFFER_BYTES = 1 << 20
_LINE_MAX_BYTES = 1 << 20  # as a ClickHouse server takes


def main() -> int:
    """Own the folder and serve it; the exit code only says whether that was possible."""
    parser = argparse.ArgumentParser(prog="polybackfill.store.server")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--lock-wait", type=float, default=0.0)
    arguments = parser.parse_args()
    folder: Path = arguments.data_dir
    lock = filelock.FileLock(rendezvous.lock_path(folder), timeout=arguments.lock_wait)
    try:
        with lock:
            return _own(folder, arguments.port)
    except filelock.Timeout:
        holder = rendezvous.read(folder)
        who = f"process {holder.pid}" if holder and holder.pid else "another process"
        return _failed(f"{folder} is in use by {who}", locked=True)
    except OSError as error:
        return _failed(f"cannot use {folder}: {error}")


def _own(folder: Path, port: int | None) -> int:
    try:
        opened = engine.Engine(folder)
    except engine.EngineError as error:
        return _failed(f"the engine cannot open {folder}: {error}", locked=error.code == 76)
    try:
        asyncio.run(_serve(folder, opened, port))
    finally:
        opened.close()
    return 0


def _failed(message: str, *, locked: bool = False) -> int:
    _tell(rendezvous.Started(error=message, locked=locked))
    return 1


def _tell(started: rendezvous.Started) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(started) + b"\n")
    sys.stdout.buffer.flush()
    # The reader of that line need not outlive us: what is printed from now on goes to the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


async def _serve(folder: Path, opened: engine.Engine, port: int | None) -> None:
    users = lifetime.Users()
    _on_signals(users)
    served = wire.Wire(opened, users)
    runner = web.AppRunner(
        served.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_S,
        auto_decompress=False,
        read_bufsize=_READ_BUFFER_BYTES,
        max_line_size=_LINE_MAX_BYTES,
        max_field_size=_LINE_MAX_BYTES,
    )
    await runner.setup()
    listener = _listener(folder, port)
    await web.SockSite(runner, listener).start()
    endpoint = rendezvous.Endpoint(
        rendezvous.HOST, listener.getsockname()[1], os.getpid(), time.time()
    )
    rendezvous.write(folder, endpoint)
    _tell(rendezvous.Started(endpoint))
    keeping = asyncio.create_task(child_log.keep_bounded(rendezvous.log_path(folder)))
    await users.gone()
    keeping.cancel()
    await runner.cleanup()
    await asyncio.to_thread(served.close)
    rendezvous.write(folder, msgspec.structs.replace(endpoint, pid=None))


def _on_signals(users: lifetime.Users) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, users.end)


def _listener(folder: Path, wanted: int | None) -> socket.socket:
    """A listening socket: on the wanted port or none; else on the last one if it is free."""
    before = rendezvous.read(folder)
    for port in (wanted,) if wanted else (before.port if before else 0, 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((rendezvous.HOST, port))
        except OSError:
            listener.close()
            if wanted:
                raise
            continue
        return listener
    raise OSError("no free port on loopback")


if __name__ == "__main__":
    sys.exit(main())
