"""What a run shows of itself while it goes on: opened before its start, closed after its end.

Nothing here may hold a run up or end it, but for an address that cannot be listened on, which is
refused before anything begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from polybackfill import redaction, settings
from polybackfill.filesystem import files, lock
from polybackfill.monitoring import latest_facts, listen_address, run_facts
from polybackfill.run import machine_facts

log = structlog.get_logger()

_LOOK_S = 5.0
_TOKEN_BYTES = 24


class RunMonitor:
    """Takes a run's pictures, adds what the machine says, and shows them."""

    def __init__(self, chosen: settings.Settings, latest: latest_facts.LatestFacts | None) -> None:
        self._chosen = chosen
        self._latest = latest
        self._machine: run_facts.MachineFacts | None = None
        self._is_refused = False

    def publish(self, picture: Mapping[str, Any]) -> None:
        """Show a picture of the run (`reports.snapshot`). It costs nothing when nobody looks."""
        if self._latest is None:
            return
        machine = None if self._machine is None else msgspec.to_builtins(self._machine)
        try:
            self._latest.publish({**picture, "machine": machine})
        except msgspec.ValidationError as error:  # a fault of ours must not cost the night
            if not self._is_refused:
                log.exception("monitor.picture_refused", error=str(error))
            self._is_refused = True

    async def watch_machine(self) -> None:
        """Look at memory and disks every few seconds, until cancelled."""
        while True:
            self._machine = await asyncio.to_thread(machine_facts.read_machine, self._chosen)
            await asyncio.sleep(_LOOK_S)


@contextlib.asynccontextmanager
async def open_monitor(
    chosen: settings.Settings, *, dry_run: bool = False
) -> AsyncIterator[RunMonitor]:
    """The monitor of one run. Raises errors.Stop when its address cannot be listened on.

    A dry run shows nothing, and neither does a run that another one is in the way of.
    """
    async with contextlib.AsyncExitStack() as stack:
        latest = None
        if chosen.backfill.listen and not dry_run and lock.holder(chosen.ledger_dir) is None:
            latest = latest_facts.LatestFacts(chosen.backfill.run_name)
            await stack.enter_async_context(_listen(chosen, latest))
        monitor = RunMonitor(chosen, latest)
        if latest is not None:
            watching = asyncio.create_task(monitor.watch_machine(), name="machine facts")
            stack.callback(watching.cancel)
        yield monitor


@contextlib.asynccontextmanager
async def _listen(
    chosen: settings.Settings, latest: latest_facts.LatestFacts
) -> AsyncIterator[None]:
    from polybackfill.monitoring import endpoint  # noqa: PLC0415  (slow; only runs that listen)

    backfill = chosen.backfill
    address = listen_address.parse_address(backfill.listen or "")
    own_token = backfill.listen_token.get_secret_value()
    listen_address.require_own_token(address, own_token)
    token = own_token or secrets.token_urlsafe(_TOKEN_BYTES)
    redaction.remember([token])
    served = endpoint.Endpoint(
        latest, listen_address.Access(address, token), stall_s=backfill.stall_s
    )
    url = await served.open()
    file = token_path(backfill.data_dir, backfill.run_name)
    try:
        if not own_token:
            _write_token(file, token)
        where = "the token is yours" if own_token else f"the token is in {file}"
        print(f"health, metrics and status: {url}/health; {where}", file=sys.stderr)
        yield
    finally:
        await served.close()
        if not own_token:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def token_path(data_dir: Path, run_name: str) -> Path:
    """Where a run that chose its token itself leaves it, for its owner alone."""
    return data_dir / "status" / f"{run_name}.token"


def _write_token(file: Path, token: str) -> None:
    with files.stopping("write", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # one that a killed run has left, whoever may read it
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as written:
            written.write(token)
