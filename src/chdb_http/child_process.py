"""Find, join or start the child process that owns a data folder.

Nothing is shared with the child but files and sockets: it is started fresh, in a session of its own
so that Ctrl-C of the parent does not reach it, and lives until its last user has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import filelock
import msgspec

from chdb_http import child_log, durable_files, endpoint_file, secret

_START_S = 60.0
_JOIN_S = 10.0
_END_S = 30.0  # the child gives its statements 8 s and its engine 20 s
_POLL_S = 0.1
_STARTS = 3
# Two arenas keep the allocator from giving each of the engine's threads a heap of its own. Without
# certificate authorities, for it speaks no TLS, aiohttp is imported in four fifths of the time.
_CHILD_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",
    "TZ": "UTC",
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
}


class FolderError(Exception):
    """The data folder cannot be written; `cause` is the system's error."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class SecretError(Exception):
    """The folder's secret may not be read: the store belongs to another user."""


class PortError(Exception):
    """The running child cannot listen on the wanted port; the message names the cause."""


class StartError(Exception):
    """No child is to be had. `report`: what the last one said, None when it exited silently."""

    def __init__(self, report: endpoint_file.StartReport | None) -> None:
        super().__init__(report.error if report else "the child exited without an error message")
        self.report = report


@dataclass(frozen=True)
class StartOptions:
    """How a child is started.

    `port`: where it listens, a running one there too; by default where the last one did.
    `environment`: its variables. `lock_wait_s`: a predecessor may still be writing out what it has
    in memory. `log_bytes`, `log_files`: how large its log becomes, and how many are kept.
    """

    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    lock_wait_s: float = 20.0
    log_bytes: int = child_log.LIMIT_BYTES
    log_files: int = child_log.FILES


class ChildLease:
    """This process needs the store: an open connection that the child counts."""

    def __init__(
        self,
        endpoint: endpoint_file.Endpoint,
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
        """Whether the child has exited."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def close(self) -> None:
        """Tell the child that this process needs it no longer."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the child went first
            await self._writer.wait_closed()


async def join_or_start(
    folder: Path, options: StartOptions, *, monotonic: Callable[[], float] = time.monotonic
) -> ChildLease:
    """Join the folder's running child, or start one. `monotonic`: seconds, for the wait.

    Raises FolderError, SecretError, PortError, and StartError when another process owns the folder
    or the engine does not start.
    """
    await asyncio.to_thread(_prepare, folder)
    report: endpoint_file.StartReport | None = None
    for _ in range(_STARTS):
        lease = await join(folder, options.port)
        if lease is not None:
            return lease
        outcome = await _start(folder, options, monotonic)
        if isinstance(outcome, ChildLease):
            return outcome
        report = outcome
        if report is not None and report.error and not report.locked:
            break
    raise StartError(report)


def _prepare(folder: Path) -> None:
    try:
        durable_files.make_folder(folder)
        endpoint_file.log_path(folder).touch()
    except OSError as error:
        raise FolderError(error) from error


async def join(folder: Path, port: int | None = None) -> ChildLease | None:
    """Take a lease on the folder's running child; None when there is none.

    Raises SecretError and PortError.
    """
    endpoint = endpoint_file.read(folder)
    if endpoint is None or endpoint.pid is None:
        return None
    key = _read_secret(folder)
    if key is None:
        return None
    try:
        async with asyncio.timeout(_JOIN_S):
            return await _take_lease(endpoint, key, port)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None


async def wait_until_ended(folder: Path, *, within_s: float = _END_S) -> bool:
    """Wait until no child owns the folder; False when one still does after `within_s` seconds.

    A child writes there after its last user has gone, so call this before removing the folder.
    """

    def wait() -> bool:
        if not folder.exists():
            return True
        try:
            with filelock.FileLock(endpoint_file.lock_path(folder), timeout=within_s):
                return True
        except filelock.Timeout:
            return False

    return await asyncio.to_thread(wait)


def _read_secret(folder: Path) -> secret.Secret | None:
    try:
        return secret.read(folder)
    except PermissionError as error:
        raise SecretError(f"{secret.path(folder)} may not be read") from error


async def _take_lease(
    endpoint: endpoint_file.Endpoint, key: secret.Secret, port: int | None
) -> ChildLease | None:
    """Take a lease on the child; None when another program has its port and does not know `key`."""
    assert endpoint.pid is not None  # noqa: S101 - asked for one that runs
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    child, nonce = secret.child_name(endpoint.pid, endpoint.port), secret.new_nonce()
    query = f"?port={port}" if port else ""
    request = (
        f"GET {endpoint_file.hold_path(endpoint.pid)}{query} HTTP/1.1\r\nHost: localhost\r\n"
        f"{secret.NONCE_HEADER}: {nonce}\r\n"
        f"{secret.PROOF_HEADER}: {key.client_proof(child, nonce)}\r\n\r\n"
    )
    try:
        writer.write(request.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        proof = re.search(rf"^{secret.PROOF_HEADER}: *(\w+)\r$", head, re.IGNORECASE | re.MULTILINE)
        expected = secret.Secret(key.server_proof(child, nonce))
        if proof is None or not expected.matches(proof.group(1)):
            writer.close()
            return None
        if head.split()[1] == "409":
            _refuse_port(await reader.readline())
        await reader.readuntil(b"held\n")
    except BaseException:
        writer.close()
        raise
    return ChildLease(endpoint, key, reader, writer)


def _refuse_port(reason: bytes) -> NoReturn:
    raise PortError(reason.decode(errors="replace").strip())


async def _start(
    folder: Path, options: StartOptions, monotonic: Callable[[], float]
) -> ChildLease | endpoint_file.StartReport | None:
    """Start a child and return its report, None when it exited without one; or join whichever child
    gets the folder meanwhile.
    """
    child = await asyncio.to_thread(_spawn, folder, options)
    first_line = asyncio.create_task(_first_line(child), name="store child")
    deadline = monotonic() + _START_S
    try:
        while monotonic() < deadline:
            await asyncio.wait([first_line], timeout=_POLL_S)
            lease = await join(folder, options.port)
            if lease is not None:
                return lease
            if first_line.done():
                return first_line.result()
        return endpoint_file.StartReport(
            error=f"process {child.pid} is silent for {_START_S:.0f} s"
        )
    finally:
        first_line.cancel()
        _settle(child, folder)


def _spawn(folder: Path, options: StartOptions) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "chdb_http", "--data-dir", str(folder)]
    command += ["--lock-wait", str(options.lock_wait_s)]
    command += ["--log-bytes", str(options.log_bytes), "--log-files", str(options.log_files)]
    if options.port is not None:
        command += ["--port", str(options.port)]
    with endpoint_file.log_path(folder).open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**options.environment, **_CHILD_ENVIRONMENT},
            start_new_session=True,
        )
    # Waited for, so that it leaves no zombie when it ends before us.
    threading.Thread(target=child.wait, name=f"store child {child.pid}", daemon=True).start()
    return child


async def _first_line(child: subprocess.Popen[bytes]) -> endpoint_file.StartReport | None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), child.stdout
    )
    try:
        line = await reader.readline()
    finally:
        transport.close()
    return msgspec.json.decode(line, type=endpoint_file.StartReport) if line else None


def _settle(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop a child that waits for a folder which another one owns."""
    owner = endpoint_file.read(folder)
    if child.poll() is None and (owner is None or owner.pid != child.pid):
        child.terminate()
