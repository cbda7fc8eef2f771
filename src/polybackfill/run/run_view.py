"""What a page shows of a run, read from the files that it leaves: nothing is asked of the run.

So it costs the run nothing, goes on across its restarts, and shows the last run between two.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from polybackfill import errors, settings
from polybackfill.filesystem import lock
from polybackfill.kinds import registry
from polybackfill.monitoring import latest_document, page_server
from polybackfill.reports import (
    error_causes,
    quarantine_list,
    run_answers,
    run_files,
    run_history,
    run_state,
    snapshot,
    unit_map,
    worker_list,
)
from polybackfill.run import (
    bootstrap,
    machine_facts,
    name_file,
    paused_parts,
    retry_requests,
    startup,
    subject_report,
)
from polybackfill.store import stored_receipts

_EVERY_S = 1.0
_POINTS = 480
_HISTORY_S = 36 * 3600.0
_CHECKPOINT_S = 5.0  # a map is drawn anew no sooner than that,
_OF_TIME = 0.05  # and takes at most this share of the time
_ROWS_SHOWN = 20
_Number = TypeVar("_Number", int, float)
_KEPT_BACK = frozenset({"owner", "paths", "host"})


class RunView:
    """Reads the run of these settings."""

    def __init__(self, chosen: settings.Settings) -> None:
        self._chosen = chosen
        self._lock = threading.Lock()
        self._paused = paused_parts.PausedParts(chosen)
        self._retries = retry_requests.RetryRequests(chosen)
        backfill = chosen.backfill
        self._stopped = name_file.NameFile(
            backfill.data_dir / "status" / f"{backfill.run_name}.stopped.json",
            "runs that were told to stop",
            "tell the run once more",
        )
        self._checkpoint: dict[str, Any] = {}
        self._next_look = 0.0

    async def watch(self, latest: latest_document.LatestDocument) -> None:
        """Publish how the run stands, once a second, until cancelled."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            latest.publish(await asyncio.to_thread(self.look))
            due = max(due + _EVERY_S, clock())  # what a look takes does not add up
            await asyncio.sleep(due - clock())

    def look(self) -> dict[str, Any]:
        """How the run stands now: its state, the five answers, its picture and the machine."""
        try:
            picture, holder = run_files.read_status(self._chosen)
        except errors.Stop as error:
            return {"state": "unknown", "said": str(error), "answers": [], "picture": None}
        state = run_state.find_state(
            picture, holder, now=time.time(), starting_s=startup.START_MAX_S
        )
        self._paused.read()
        pid = state.owner.pid if state.is_running and state.owner is not None else None
        shown = None
        if picture is not None:
            picture = {**picture, "paused": sorted(self._paused.kinds)}
            shown = {name: picture[name] for name in picture if name not in _KEPT_BACK}
        return {
            "run": self._chosen.backfill.run_name,
            "state": state.name,
            "said": str(state),
            "is_running": state.is_running,
            "answers": [vars(answer) for answer in run_answers.answer_all(picture, state)],
            "picture": shown,
            "machine": msgspec.to_builtins(machine_facts.read_machine(self._chosen, pid)),
        }

    def pause(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """`kind`: the part that takes no more units, from the next second on."""
        self._paused.pause(self._known_kind(document))
        return {"paused": sorted(self._paused.kinds)}

    def resume(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """`kind`: the part that goes on."""
        self._paused.resume(self._known_kind(document))
        return {"paused": sorted(self._paused.kinds)}

    def retry(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Errors are tried again: all of the part `kind`, or the one `unit`. By the run that goes
        on where they are its own, else by the next one. `asked`: how many there are.
        """
        unit = document.get("unit")
        kind = None if isinstance(unit, str) else self._known_kind(document)
        checkpoint = run_files.open_checkpoint(self._chosen)
        failed_units = checkpoint.failed_units() if checkpoint is not None else []
        ids = [one.unit.id for one in failed_units if one.unit.id == unit or one.unit.kind == kind]
        self._retries.add(ids)
        return {"asked": len(ids)}

    def drain(self, _document: Mapping[str, Any]) -> dict[str, Any]:
        """Stop the run in order, as SIGTERM does; once, since a second signal does not wait.

        A run that drains already, whoever told it to, is not signalled. Raises errors.Stop when no
        run of this machine is active, or it is another user's.
        """
        picture, holder = run_files.read_status(self._chosen)
        if holder is None or not lock.is_alive(holder):
            raise errors.Stop("no run of this machine is active")
        if not _is_draining(picture, holder):
            self._stopped.change(partial(_signal_once, holder))
        return {"stopping": holder.pid}

    def _known_kind(self, document: Mapping[str, Any]) -> str:
        kind = document.get("kind")
        if not isinstance(kind, str) or kind not in registry.KINDS:
            raise page_server.BadParameter
        return kind

    def history(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Samples since the second `since` (epoch), at most a day and a half and _POINTS."""
        backfill = self._chosen.backfill
        file = run_history.history_path(
            snapshot.snapshot_path(backfill.data_dir, backfill.run_name)
        )
        since = max(_number(float, query, "since", "0"), time.time() - _HISTORY_S)
        samples = run_history.read_history(file, since=since)
        return [msgspec.to_builtins(one) for one in run_history.thin_out(samples, _POINTS)]

    def checkpoint(self, _query: Mapping[str, str]) -> dict[str, Any]:
        """The map and the errors, no older than a few seconds or twenty times what they cost.

        `errors` is None while there is no checkpoint to tell them; `failed`: units in error by
        part, of which `asked_again` wait to be tried again.
        """
        with self._lock:
            began = time.monotonic()
            if began >= self._next_look:
                self._checkpoint = self._read_checkpoint()
                took = time.monotonic() - began
                self._next_look = began + max(_CHECKPOINT_S, took / _OF_TIME)
            return self._checkpoint

    def _read_checkpoint(self) -> dict[str, Any]:
        checkpoint = run_files.open_checkpoint(self._chosen)
        picture, _ = run_files.read_status(self._chosen)
        parts = picture["parts"] if picture is not None else {}
        keys = {kind: part["units"] for kind, part in parts.items()}
        if checkpoint is None:
            ask = partial(unit_map.draw_stored_map, keys=keys)
            drawn = self._ask_receipts(ask) if keys else {}
            return {"map": drawn, "errors": None, "failed": {}, "asked_again": 0}
        failed_units = checkpoint.failed_units()
        wanted = self._retries.read()
        return {
            "map": unit_map.draw_map(checkpoint, keys),
            "errors": [cause.fields() for cause in error_causes.group_errors(failed_units)],
            "failed": Counter(one.unit.kind for one in failed_units),
            "asked_again": sum(one.unit.id in wanted for one in failed_units),
        }

    def _ask_receipts(
        self, ask: Callable[[stored_receipts.StoredReceipts], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """What the receipts in the store say where the checkpoint is lost; nothing without one."""

        async def read() -> dict[str, Any]:
            async with bootstrap.open_store(self._chosen) as store:
                name = self._chosen.backfill.run_name
                return await ask(stored_receipts.StoredReceipts(store, name))

        address = bootstrap.store_address(self._chosen)
        if address.embedded and not address.data_dir.exists():
            return {}
        try:
            return bootstrap.run(read())
        except errors.BackfillError:  # a store that is away proves nothing just now
            return {}

    def workers(self, _query: Mapping[str, str]) -> dict[str, Any]:
        """Who works on what, and the last stalls with their stacks.

        `workers` is None where a run is active and its list cannot be read.
        """
        backfill = self._chosen.backfill
        file = snapshot.snapshot_path(backfill.data_dir, backfill.run_name)
        picture, holder = run_files.read_status(self._chosen)
        is_active = holder is not None and picture is not None and picture["pid"] == holder.pid
        return {
            "workers": worker_list.read_workers(file) if is_active else [],
            "stalls": worker_list.read_stalls(bootstrap.log_file(self._chosen)),
        }

    def quarantine(self, _query: Mapping[str, str]) -> dict[str, Any]:
        """Rows that were set aside: asks the store, which is opened for that."""
        bootstrap.require_store(self._chosen)
        return bootstrap.run(self._read_quarantine())

    async def _read_quarantine(self) -> dict[str, Any]:
        async with bootstrap.open_store(self._chosen) as store:
            return await quarantine_list.read(store, _ROWS_SHOWN)

    def subject(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What is stored of the wallet or market called `name`; `ask`: 1 to ask the API, too."""
        name = query.get("name", "").strip()
        if not name:
            raise page_server.BadParameter
        named = subject_report.look_up(self._chosen, name, may_ask=query.get("ask") == "1")
        return dataclasses.asdict(named)

    def units(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The receipts behind one cell of the map: `kind`, `step` and `cell` as in the map."""
        kind = query.get("kind", "")
        step, cell = _number(int, query, "step"), _number(int, query, "cell")
        if step < 1 or cell < 0:
            return {"receipts": [], "more": 0}
        checkpoint = run_files.open_checkpoint(self._chosen)
        if checkpoint is None:
            ask = partial(unit_map.stored_units_of_cell, kind=kind, step=step, number=cell)
            return self._ask_receipts(ask) or {"receipts": [], "more": 0}
        return unit_map.units_of_cell(checkpoint, kind, step, cell)


def _number(kind: type[_Number], query: Mapping[str, str], name: str, default: str = "") -> _Number:
    try:
        return kind(query.get(name, default))
    except ValueError as error:
        raise page_server.BadParameter from error


def _signal_once(holder: lock.Owner, signalled: frozenset[str]) -> frozenset[str]:
    """Tell the run to stop, unless it was told before, by another page perhaps."""
    name = f"{holder.pid} {holder.born} {holder.started_at}"
    if name not in signalled:
        try:
            os.kill(holder.pid, signal.SIGTERM)
        except OSError as error:
            raise errors.Stop(f"it cannot be stopped: {error.strerror}") from error
    return frozenset({name})


def _is_draining(picture: dict[str, Any] | None, holder: lock.Owner) -> bool:
    """Whether the holder's own picture says so, and not one of a process that had its number."""
    if picture is None or picture["state"] != "draining":
        return False
    drawn_by = picture.get("owner") or {}
    return (picture["pid"], drawn_by.get("born", "")) == (holder.pid, holder.born)
