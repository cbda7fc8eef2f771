"""`polybackfill status` and `check trades`."""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

from polybackfill import errors, formats, settings
from polybackfill.checkpoint import store_state
from polybackfill.checks import table_digest
from polybackfill.filesystem import lock
from polybackfill.reports import (
    console_table,
    full_screen,
    job_lines,
    progress_line,
    run_files,
    run_state,
)
from polybackfill.run import bootstrap, startup

_EVERY_S = 1.0
_START_S = startup.START_MAX_S
_FRESH_S = run_state.FRESH_S


def status(arguments: argparse.Namespace) -> int:
    """The newest picture of the run, and whether its process lives."""
    chosen = bootstrap.settings_of(arguments)
    if arguments.watch:
        run_files.require_run(chosen)
        if arguments.json:
            _write_lines(chosen)
        else:
            full_screen.show(lambda _columns: _lines_now(chosen))
        return errors.EXIT_OK
    picture, holder = run_files.read_status(chosen)
    folder = run_files.checkpoint_folder(chosen, picture)
    if arguments.health:
        return _health(picture, holder, chosen.backfill.stall_s)
    if picture is None and holder is None:
        run_files.require_run(chosen)
        return _never_ran(chosen, as_json=arguments.json)
    state = run_state.find_state(picture, holder, now=time.time(), starting_s=_START_S)
    in_doubt = state.is_running is False and store_state.awaits_comparison(folder)
    if arguments.json:
        bootstrap.print_json({**_document(picture, state), "receipts_compared": not in_doubt})
        return errors.EXIT_OK
    for text in _lines(picture, state):
        print(text)
    if in_doubt:
        print(f"  {run_files.NOT_COMPARED}")
    return errors.EXIT_OK


def _document(picture: dict[str, Any] | None, state: run_state.RunState) -> dict[str, Any]:
    document = {**(picture or {}), "running": state.is_running, "state": state.name}
    return document | {"said": str(state), "seen_s_ago": state.age_s}


def _write_lines(chosen: settings.Settings) -> None:
    """One JSON object a line, one line a second, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            picture, holder = run_files.read_status(chosen)
            now = time.time()
            state = run_state.find_state(picture, holder, now=now, starting_s=_START_S)
            bootstrap.print_json_line(_document(picture, state))
            time.sleep(_EVERY_S)


def _lines_now(chosen: settings.Settings) -> list[str]:
    picture, holder = run_files.read_status(chosen)
    return _lines(
        picture, run_state.find_state(picture, holder, now=time.time(), starting_s=_START_S)
    )


def _health(picture: dict[str, Any] | None, holder: lock.Owner | None, stall_s: float) -> int:
    """0: a run is active and gets somewhere, waits for something, or only begins; 3: none is active
    and the last one, if any, ended in order; 4: it stands still; 75: it died, or could not go on.
    """
    if holder is None:
        ended = picture is None or picture["state"] in {"finished", "stopped"}
        return errors.EXIT_UNITS_IN_ERROR if ended else errors.EXIT_UNAVAILABLE
    now = time.time()
    if picture is None or picture["pid"] != holder.pid:
        healthy = now - holder.started_at < _START_S  # its first picture is still to come
    else:
        moves = picture["waiting_for"] is not None or picture["still_s"] < stall_s + _FRESH_S
        healthy = moves and now - picture["now"] < _FRESH_S
    return errors.EXIT_OK if healthy else errors.EXIT_NO_PROGRESS


def _never_ran(chosen: settings.Settings, *, as_json: bool) -> int:
    if as_json:
        bootstrap.print_json({"running": False})
    else:
        print(f"no run named {chosen.backfill.run_name} yet under {chosen.backfill.data_dir}")
        print("  polybackfill run --help")
    return errors.EXIT_OK


def _lines(picture: dict[str, Any] | None, state: run_state.RunState) -> list[str]:
    if picture is None or state.name == "starting":
        return [str(state)]
    if state.is_running is False:
        return [str(state), *progress_line.summary_lines(picture, dry_run=False)]
    until = progress_line.until(picture)
    lines = [f"{state}{', ' if until else ''}{until}", progress_line.line(picture)]
    for kind, part in picture["parts"].items():
        lines += _part_lines(kind, part)
    lines += job_lines.make_lines(picture.get("job"))
    if count := progress_line.set_aside(picture):
        lines.append(f"  {formats.counted(count, 'row')} set aside: polybackfill quarantine list")
    lines += [
        _budget_line(name, budget) for name, budget in picture["budgets"].items() if budget["sent"]
    ]
    return lines + progress_line.held_back(picture.get("held_back", {}))


def _part_lines(kind: str, part: dict[str, Any]) -> list[str]:
    if part.get("complete"):
        return [progress_line.proven(kind, part)]
    rate, allowed = (formats.per_second(part[f"{one}_per_s"]) for one in ("requests", "allowed"))
    waits = ", ".join(f"{count} {reason}" for reason, count in part["waits"].items())
    waits = f" ({waits})" if waits else ""
    share = progress_line.part_share(part)
    return [
        f"  {kind:<11} {share}, {part['done']:,} of {part['units']:,}, "
        f"{part['error']:,} in error, {rate} of {allowed} requests/s, "
        f"{progress_line.part_left(part)}",
        f"  {'':<11} {formats.counted(part['workers'], 'worker')}{waits}, "
        f"{formats.counted(part['stalls'], 'stall')}",
    ]


def _budget_line(name: str, budget: dict[str, Any]) -> str:
    rate, allowed = (formats.per_second(budget[f"{one}_per_s"]) for one in ("rate", "allowed"))
    return (
        f"  {name:<14} {rate} of {allowed} requests/s, {budget['sent']:,} sent, "
        f"{budget['refusals']} refused, {formats.counted(budget['cuts'], 'cut')}"
    )


def check_trades(arguments: argparse.Namespace) -> int:
    """Stored trades by source, growth by day, duplicates; exit 3 when there is a duplicate."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    report = bootstrap.run(_check_trades(chosen))
    if arguments.json:
        bootstrap.print_json(report)
    else:
        console_table.show("by source", report["by_source"], "no trade is stored yet")
        console_table.show("rows by day of arrival", report["by_day"])
        print(f"rows {report['rows']:,}   digest {report['digest']}")
        print(f"duplicates of external_trade_id: {len(report['duplicates'])}")
    return errors.EXIT_UNITS_IN_ERROR if report["duplicates"] else errors.EXIT_OK


async def _check_trades(chosen: settings.Settings) -> dict[str, Any]:
    async with bootstrap.open_store(chosen, migrated=True) as store:
        totals = (await store.rows(table_digest.TRADES))[0]
        return {
            "by_source": await store.rows(
                "SELECT source, count() AS rows, round(sum(shares), 2) AS shares, "
                "round(sum(cash_value), 2) AS value, uniqExact(condition_id) AS markets, "
                "uniqExact(wallet_address) AS wallets FROM external_trades_raw "
                "GROUP BY source ORDER BY source"
            ),
            "by_day": await store.rows(
                "SELECT toDate(ingested_at) AS day, count() AS rows, "
                "uniqExact(wallet_address) AS wallets FROM external_trades_raw "
                "GROUP BY day ORDER BY day DESC LIMIT 7"
            ),
            "rows": totals["rows"],
            "digest": totals["digest"],
            "duplicates": await store.rows(f"{table_digest.DUPLICATES} LIMIT 100"),
        }
