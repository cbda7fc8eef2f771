"""`polybackfill status`, `check plan` and `check trades`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import orjson

from polybackfill import errors, formats, guess, settings
from polybackfill.commands import context, plan, starting
from polybackfill.views import digest, live, snapshot, tables
from polybackfill.work import lock

_START_S = starting.START_MAX_S
_FRESH_S = 30.0  # the picture is taken every second; older means that the loop is blocked


def status(arguments: argparse.Namespace) -> int:
    """The newest picture of the run, and whether its process lives."""
    chosen = context.settings_of(arguments)
    picture = picture_of(snapshot.file_of(chosen.backfill.data_dir, chosen.backfill.run_name))
    holder = lock.holder(chosen.ledger_dir)
    if arguments.health:
        return _health(picture, holder, chosen.backfill.stall_s)
    if picture is None and holder is None:
        require_run(chosen)
        return _never_ran(chosen, as_json=arguments.json)
    if arguments.json:
        context.print_json({"running": holder is not None, **(picture or {})})
        return errors.EXIT_OK
    for text in _lines(picture, str(holder) if holder else None):
        print(text)
    return errors.EXIT_OK


def require_run(chosen: settings.Settings) -> None:
    """Refuse to speak of a run that never was where others were; one that has lost its checkpoint
    was: its picture is there.
    """
    backfill = chosen.backfill
    seen = snapshot.file_of(backfill.data_dir, backfill.run_name)
    if chosen.ledger_dir.is_dir() or seen.is_file():
        return
    if known := sorted(ledger.name for ledger in backfill.checkpoint_dir.glob("*/")):
        raise errors.Stop(
            f"no run named {backfill.run_name} has left anything under {backfill.checkpoint_dir}; "
            f"--run-name or BACKFILL_RUN_NAME may be: {', '.join(known)}"
            f"{guess.near(backfill.run_name, known)}"
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
        context.print_json({"running": False})
    else:
        print(f"no run named {chosen.backfill.run_name} yet under {chosen.backfill.data_dir}")
        print("  polybackfill run --help")
    return errors.EXIT_OK


def _lines(picture: dict[str, Any] | None, holder: str | None) -> list[str]:
    if picture is None:
        return [f"running: {holder}, starting"]
    if holder is None:
        return [
            f"not running; last seen {_ago(picture['now'])}",
            *live.ending(picture, dry_run=False),
        ]
    seen = ", ".join(filter(None, (live.until(picture), f"seen {_ago(picture['now'])}")))
    lines = [f"running: {holder}, {seen}", live.line(picture).strip()]
    for kind, part in picture["parts"].items():
        waits = ", ".join(f"{count} {reason}" for reason, count in part["waits"].items())
        lines.append(
            f"  {kind:<11} {part['share']:6.1%}, {part['done']:,} of {part['units']:,}, "
            f"{part['error']:,} in error, {part['requests_per_s']:.1f} of "
            f"{part['allowed_per_s']:.1f} requests/s, {live.remaining(part['eta_s'])}"
        )
        waits = f" ({waits})" if waits else ""
        lines.append(f"  {'':<11} {part['workers']} workers{waits}, {part['stalls']} stalls")
    for name, budget in picture["budgets"].items():
        if budget["sent"]:
            lines.append(
                f"  {name:<14} {budget['rate_per_s']:.1f} of {budget['allowed_per_s']:.1f} "
                f"requests/s, {budget['sent']:,} sent, "
                f"{budget['refusals']} refused, {budget['cuts']} cuts"
            )
    lines += live.held_back(picture.get("held_back", {}))
    return lines


def _ago(moment: float) -> str:
    return f"{formats.duration(max(0.0, time.time() - moment))} ago"


def picture_of(file: Path) -> dict[str, Any] | None:
    """What the run last wrote of itself, None when there is none; errors.Stop for a broken file."""
    try:
        found = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise errors.Stop(f"status file {file} cannot be read ({error}): delete it") from error
    return found if isinstance(found, dict) else None


def check_plan(arguments: argparse.Namespace) -> int:
    """Both plans by status, the next pending, the newest errors."""
    arguments.top = 10
    return plan.show(arguments)


def check_trades(arguments: argparse.Namespace) -> int:
    """Stored trades by source, growth by day, duplicates; exit 3 when there is a duplicate."""
    chosen = context.settings_of(arguments)
    context.require_store(chosen)
    report = context.run(_check_trades(chosen))
    if arguments.json:
        context.print_json(report)
    else:
        tables.show("by source", report["by_source"], "no trade is stored yet")
        tables.show("rows by day of arrival", report["by_day"])
        print(f"rows {report['rows']:,}   digest {report['digest']}")
        print(f"duplicates of external_trade_id: {len(report['duplicates'])}")
    return errors.EXIT_UNITS_IN_ERROR if report["duplicates"] else errors.EXIT_OK


async def _check_trades(chosen: settings.Settings) -> dict[str, Any]:
    async with context.open_store(chosen, migrate=True) as store:
        whole = (await store.rows(digest.TRADES))[0]
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
            "rows": whole["rows"],
            "digest": whole["digest"],
            "duplicates": await store.rows(f"{digest.DUPLICATES} LIMIT 100"),
        }
