"""`polybackfill check progress`: how far each part is, how fast it goes, when it ends."""

from __future__ import annotations

import argparse
from typing import Any

from polybackfill import clocks, errors, formats, settings
from polybackfill.checkpoint import store_state
from polybackfill.reports import (
    console_table,
    job_figures,
    job_lines,
    progress_line,
    progress_report,
    run_files,
    run_state,
)
from polybackfill.run import bootstrap, startup
from polybackfill.store import job_tables

_SPARED = ("in progress", "pending", "in error", "requests/s", "oldest progress")


def check(arguments: argparse.Namespace) -> int:
    """Works during a run, between two, and after the end."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    report = bootstrap.run(_read(chosen), uvloop=chosen.backfill.uvloop)
    if arguments.json:
        bootstrap.print_json(report)
    else:
        _print(report)
    return errors.EXIT_OK


async def _read(chosen: settings.Settings) -> dict[str, Any]:
    picture, holder = run_files.read_status(chosen)
    now = clocks.SystemClock().now()
    state = run_state.find_state(picture, holder, now=now, starting_s=startup.START_MAX_S)
    in_doubt = not state.is_running and store_state.awaits_comparison(chosen.checkpoint_path)
    async with bootstrap.open_store(chosen, migrated=True) as store:
        tables = job_tables.JobTables(store, clocks.SystemClock())
        report = await progress_report.read(
            store,
            run_files.open_checkpoint(chosen),
            picture,
            running=bool(state.is_running),
            now=now,
            job=await job_figures.read(store, tables, chosen.backfill.job),
        )
    return {**report, "receipts_compared": not in_doubt}


def _print(report: dict[str, Any]) -> None:
    rows = [
        {
            "part": kind,
            "proven": formats.percent(part["share"]),
            "done": part["done"],
            "of": part["keys"],
            "in progress": part["in_progress"],
            "pending": part["pending"],
            "in error": part["error"],
            "requests/s": part["requests_per_s"],
            "oldest progress": _age(part["oldest_progress_s"]),
            "left": _left(part),
        }
        for kind, part in report["parts"].items()
    ]
    # What is the same for all says nothing, and the table has to fit into 80 columns.
    idle = {name for name in _SPARED if not any(row[name] for row in rows)}
    shown = [{name: row[name] for name in row if name not in idle} for row in rows]
    console_table.show(
        "running" if report["running"] else "not running", shown, "nothing planned yet"
    )
    if job := report["job"]:
        console_table.show(
            job_lines.title(job["name"], job["round"], job["at_work"]),
            job_lines.host_rows(job["hosts"]),
            "no daemon has begun",
        )
    if followed := report["following"]:
        describe = progress_line.following if report["running"] else progress_line.followed
        print(describe(followed))
        for since, until in followed["gaps"]:
            print(f"  gap: {clocks.utc_text(since)} to {clocks.utc_text(until)} is not proven")
    coverage = report["trade_coverage"]
    if coverage["now"] is not None:
        print(
            f"finished {coverage['part']} hold {formats.percent(coverage['now'])} of the expected "
            f"trades, {formats.percent(coverage['projected'])} "
            "when all finish that are not in error"
        )
    if not report["receipts_compared"]:
        print(run_files.NOT_COMPARED)
    elif report["parts"]:
        left = progress_line.remaining(report["eta_s"])
        if not report["running"] and report["eta_s"] is not None:
            left += " at the published limits, once it runs"
        print("complete" if _complete(report) else left)


def _complete(report: dict[str, Any]) -> bool:
    return all(part["done"] == part["keys"] for part in report["parts"].values())


def _left(part: dict[str, Any]) -> str:
    if part["done"] + part["error"] >= part["keys"]:
        return "nothing"
    return "unknown" if part["eta_s"] is None else formats.duration(part["eta_s"])


def _age(age_s: float | None) -> str:
    return "" if age_s is None else f"{formats.duration(age_s)} ago"
