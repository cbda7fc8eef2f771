"""What a run shows of itself while it goes on: opened before its start, closed after its end.

Nothing here may hold a run up or end it, but for an address that cannot be listened on, which is
refused before anything begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from polybackfill import clocks, redaction, settings
from polybackfill.engine import grace_period
from polybackfill.filesystem import files, lock
from polybackfill.monitoring import (
    alert_history,
    alert_rules,
    alert_sender,
    latest_facts,
    listen_address,
    run_alerts,
    run_facts,
)
from polybackfill.run import machine_facts, run_request, run_summary

log = structlog.get_logger()

_LOOK_S = 5.0
_LAST_S = 10.0  # for the last alert, when everything else has ended; after a stop less
_TOKEN_BYTES = 24


class RunMonitor:
    """Takes a run's pictures, adds what the machine says, shows them and raises alerts.

    `latest`, `alerts`: None where the settings ask for neither; then a picture costs nothing.
    """

    def __init__(
        self,
        chosen: settings.Settings,
        latest: latest_facts.LatestFacts | None = None,
        alerts: run_alerts.RunAlerts | None = None,
    ) -> None:
        self._chosen = chosen
        self._latest = latest
        self._alerts = alerts
        self._machine: run_facts.MachineFacts | None = None
        self._is_refused = False

    def publish(self, picture: Mapping[str, Any]) -> None:
        """Show a picture of the run (`reports.snapshot`)."""
        if self._latest is None:
            return
        machine = None if self._machine is None else msgspec.to_builtins(self._machine)
        try:
            facts = self._latest.publish({**picture, "machine": machine})
        except msgspec.ValidationError as error:  # a fault of ours must not cost the night
            if not self._is_refused:
                log.exception("monitor.picture_refused", error=str(error))
            self._is_refused = True
            return
        if self._alerts is not None:
            self._alerts.check(facts)

    def note_end(self, summary: run_summary.RunSummary) -> None:
        """The run came to its end in order."""
        if self._alerts is not None:
            self._alerts.note_end(summary.document, summary.exit_code, summary.lines)

    def note_day(self) -> None:
        """A run that follows has made the reports of a day."""
        if self._alerts is not None and self._latest is not None and self._latest.facts is not None:
            self._alerts.note_day(self._latest.facts)

    async def watch_machine(self) -> None:
        """Look at memory and disks every few seconds, until cancelled."""
        while True:
            self._machine = await asyncio.to_thread(machine_facts.read_machine, self._chosen)
            await asyncio.sleep(_LOOK_S)


@contextlib.asynccontextmanager
async def open_monitor(
    chosen: settings.Settings, request: run_request.RunRequest, stop: asyncio.Event
) -> AsyncIterator[RunMonitor]:
    """The monitor of one run, which tells of an error that leaves the block.

    `stop`: set when the run was told to end. A dry run shows nothing, and neither does a run that
    another one is in the way of. Raises errors.Stop when the address of the settings cannot be
    listened on.
    """
    backfill = chosen.backfill
    is_used = bool(backfill.listen or backfill.alert_url or backfill.ping_url)
    if not is_used or request.dry_run or lock.holder(chosen.checkpoint_path) is not None:
        yield RunMonitor(chosen)
        return
    latest = latest_facts.LatestFacts(backfill.run_name)
    async with contextlib.AsyncExitStack() as stack:
        if backfill.listen:
            await stack.enter_async_context(_listen(chosen, latest))
        alerts = await stack.enter_async_context(_alerting(chosen, request, stop))
        monitor = RunMonitor(chosen, latest, alerts)
        watching = asyncio.create_task(monitor.watch_machine(), name="machine facts")
        stack.callback(watching.cancel)
        yield monitor


@contextlib.asynccontextmanager
async def _alerting(
    chosen: settings.Settings, request: run_request.RunRequest, stop: asyncio.Event
) -> AsyncIterator[run_alerts.RunAlerts]:
    backfill, clock = chosen.backfill, clocks.SystemClock()
    history = backfill.data_dir / "status" / f"{backfill.run_name}.alerts.json"
    alerts = run_alerts.RunAlerts(
        backfill.run_name,
        run_alerts.AlertTargets(backfill.alert_url, backfill.alert_form, backfill.ping_url),
        rules=alert_rules.AlertRules(
            alert_rules.Thresholds(backfill.alert_stall_s, backfill.alert_errors)
        ),
        history=alert_history.AlertHistory(history),
        sender=alert_sender.AlertSender(clock),
        clock=clock,
    )
    try:
        yield alerts
    except BaseException as error:  # whatever leaves a run has ended it
        alerts.note_failure(error)
        raise
    finally:
        # Who stopped it waits for its end; nobody does at the time that `--until` had set.
        is_planned = request.stop_at is not None and time.time() >= request.stop_at
        in_haste = stop.is_set() and not is_planned
        hasty_s = backfill.grace_s * grace_period.ALERTS_SHARE
        await alerts.close(hasty_s if in_haste else _LAST_S)


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
        files.write_private(file, token)
