"""Finding, joining or starting the child process that owns a data folder.

Nothing is shared with the child but files and sockets: it is started fresh, in a session of its own
so that Ctrl-C of the daemon does not reach it, and lives until its last user has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import filelock
import msgspec

from polybackfill import clocks, errors
from polybackfill.store import child_log, rendezvous, secret
from polybackfill.work import files

_START_S = 60.0
_LOCK_WAIT_S = 20.0  # a predecessor may still be writing out what it has in memory
_JOIN_S = 10.0
_END_S = 30.0  # the child gives its statements 8 s and its engine 20 s
_POLL_S = 0.1
_STARTS = 3
# Two arenas keep the allocator from giving each of the engine's threads a heap of its own.
_CHILD_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "TZ": "UTC"}
# The child needs none of our settings, and some hold passwords or keys.
_MAY_BE_SECRET = re.compile(r"BACKFILL_|CLICKHOUSE_|NOTIFY_|\w+_PROXY$", re.IGNORECASE)


class Hold:
    """This process needs the store: an open connection the child counts."""

    def __init__(
        self,
        endpoint: rendezvous.Endpoint,
        key: secret.Secret,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.endpoint = endpoint
        self.key = key
        self._reader = reader
        self._writer = writer

    @property
    def lost(self) -> bool:
        """The child has gone."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def close(self) -> None:
        """The store is not needed any more."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the child went first
            await self._writer.wait_closed()


async def open(folder: Path, *, clock: clocks.Clock, port: int | None = None) -> Hold:
    """Join the folder's running child, or start one.

    `port`: where it answers, the running one there too; by default where the last one did.
    Raises Stop when the folder cannot be used or another program holds it.
    """
    await asyncio.to_thread(_prepare, folder)
    refusal: rendezvous.Started | None = None
    for _ in range(_STARTS):
        hold = await join(folder, port)
        if hold is not None:
            return hold
        outcome = await _start(folder, clock, port)
        if isinstance(outcome, Hold):
            return outcome
        refusal = outcome
        if refusal is not None and refusal.error and not refusal.locked:
            break
    raise _refused(refusal, folder)


def _refused(refusal: rendezvous.Started | None, folder: Path) -> errors.Stop:
    """Why no child was to be had."""
    see = f"See {rendezvous.log_path(folder)}."
    if refusal is None or not refusal.error:
        why = "it ended without a word, as if something had killed it, for want of memory perhaps"
    elif refusal.locked:
        why = f"{refusal.error}. Stop that process, or choose another folder with BACKFILL_DATA_DIR"
    else:
        code = errors.EXIT_UNAVAILABLE if refusal.passing else errors.EXIT_CONFIG
        return errors.Stop(
            f"The embedded store cannot start: {refusal.error}. {see}", exit_code=code
        )
    return errors.Stop(
        f"The embedded store cannot start: {why}. {see}", exit_code=errors.EXIT_UNAVAILABLE
    )


def _prepare(folder: Path) -> None:
    try:
        files.make_folder(folder)
        rendezvous.log_path(folder).touch()
    except OSError as error:
        raise errors.Stop(
            f"The data folder {folder} cannot be written ({error.strerror}). "
            "Make it writable or set BACKFILL_DATA_DIR.",
            exit_code=errors.exit_code_of(error),
        ) from error


async def join(folder: Path, port: int | None = None) -> Hold | None:
    """Take hold of the folder's running child, None when there is none."""
    endpoint = rendezvous.read(folder)
    if endpoint is None or endpoint.pid is None:
        return None
    key = _key(folder)
    if key is None:
        return None
    try:
        async with asyncio.timeout(_JOIN_S):
            return await _hold(endpoint, key, port)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None


async def ended(folder: Path, *, within_s: float = _END_S) -> bool:
    """Wait until no child owns the folder: it writes there after its last user has gone, too.

    Who removes the folder waits for that. False when one still does after `within_s`.
    """

    def wait() -> bool:
        if not folder.exists():
            return True
        try:
            with filelock.FileLock(rendezvous.lock_path(folder), timeout=within_s):
                return True
        except filelock.Timeout:
            return False

    return await asyncio.to_thread(wait)


def _key(folder: Path) -> secret.Secret | None:
    try:
        return secret.read(folder)
    except PermissionError as error:
        raise errors.Stop(
            f"{secret.path(folder)} may not be read: the embedded store belongs to the user who "
            "started it. Run this command as that user, or use a ClickHouse server for several"
        ) from error


async def _hold(endpoint: rendezvous.Endpoint, key: secret.Secret, port: int | None) -> Hold | None:
    """Take hold of the child, if it is the child: whoever has its port now does not know `key`."""
    assert endpoint.pid is not None  # noqa: S101 - asked for one that runs
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    child, nonce = secret.child(endpoint.pid, endpoint.port), secret.new_nonce()
    query = f"?port={port}" if port else ""
    request = (
        f"GET {rendezvous.hold_path(endpoint.pid)}{query} HTTP/1.1\r\nHost: localhost\r\n"
        f"{secret.NONCE_HEADER}: {nonce}\r\n{secret.PROOF_HEADER}: {key.question(child, nonce)}\r\n"
        "\r\n"
    )
    try:
        writer.write(request.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        proof = re.search(rf"^{secret.PROOF_HEADER}: *(\w+)\r$", head, re.IGNORECASE | re.MULTILINE)
        if proof is None or not secret.Secret(key.answer(child, nonce)).matches(proof.group(1)):
            writer.close()
            return None
        if head.split()[1] == "409":
            _refuse_port(await reader.readline())
        await reader.readuntil(b"held\n")
    except BaseException:
        writer.close()
        raise
    return Hold(endpoint, key, reader, writer)


def _refuse_port(reason: bytes) -> NoReturn:
    raise errors.Stop(f"{reason.decode(errors='replace').strip()}. Choose another --port")


async def _start(
    folder: Path, clock: clocks.Clock, port: int | None
) -> Hold | rendezvous.Started | None:
    """Start a child and hear what it says, None when it ended without a word; join whichever child
    gets the folder meanwhile.
    """
    child = await asyncio.to_thread(_spawn, folder, port)
    said = asyncio.create_task(_first_line(child), name="store child")
    deadline = clock.monotonic() + _START_S
    try:
        while clock.monotonic() < deadline:
            await asyncio.wait([said], timeout=_POLL_S)
            hold = await join(folder, port)
            if hold is not None:
                return hold
            if said.done():
                return said.result()
        return rendezvous.Started(error=f"process {child.pid} is silent for {_START_S:.0f} s")
    finally:
        said.cancel()
        _settle(child, folder)


def _spawn(folder: Path, port: int | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "polybackfill.store.server", "--data-dir", str(folder)]
    command += ["--lock-wait", str(_LOCK_WAIT_S)]
    if port is not None:
        command += ["--port", str(port)]
    environment = {
        name: value for name, value in os.environ.items() if not _MAY_BE_SECRET.match(name)
    }
    environment |= {**_CHILD_ENVIRONMENT, **child_log.environment()}
    with rendezvous.log_path(folder).open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    # Waited for, so that it leaves no zombie when it ends before us.
    threading.Thread(target=child.wait, name=f"store child {child.pid}", daemon=True).start()
    return child


async def _first_line(child: subprocess.Popen[bytes]) -> rendezvous.Started | None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), child.stdout
    )
    try:
        line = await reader.readline()
    finally:
        transport.close()
    return msgspec.json.decode(line, type=rendezvous.Started) if line else None


def _settle(child: subprocess.Popen[bytes], folder: Path) -> None:
    """A child that did not get the folder is not left waiting for it."""
    owner = rendezvous.read(folder)
    if child.poll() is None and (owner is None or owner.pid != child.pid):
        child.terminate()
