"""How far everything is: the plans, the checkpoint and the newest picture of the run, put together.

Nothing is read from logs. The plans count what people asked for, at most some seconds old; the
picture knows rates and what the run has found since; the checkpoint knows who got somewhere last.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import followed_windows, window_source
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints
from polybackfill.reports import job_figures
from polybackfill.store import client, plan_table

_COUNTS = """
SELECT toString(status) AS status, count() AS keys, sum(trade_count) AS trades,
    countIf({unsized}) AS unsized
FROM {table} GROUP BY status
"""

_LEFT = ("pending", "in_progress")

Picture = dict[str, Any]


async def read(
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint | None,
    picture: Picture | None,
    *,
    running: bool,
    now: float,
    job: job_figures.JobFigures | None = None,
) -> dict[str, Any]:
    """Part by part: keys by state, shares, rates, seconds left (None: not known); by the receipts
    the rows stored and set aside, and the key that was done last; of the parts that a plan weighs
    the share of trades. `picture`: the newest of the run, None of none. With a `job`, the parts are
    those of all its daemons.
    """
    shown: dict[str, Any] = (picture or {}).get("parts", {})
    parts = {kind: _from_picture(part, running=running) for kind, part in shown.items()}
    for kind in plan_table.TABLES:
        planned = await _planned(store, kind)
        if planned["keys"]:
            parts[kind] = _merged(kind, parts.get(kind), planned, running=running)
    for kind, totals in (checkpoint.totals() if checkpoint is not None else {}).items():
        done = totals.keys
        parts.setdefault(kind, _part(keys=done, done=done, eta_s=0.0 if not running else None))
        if not running and kind not in plan_table.TABLES:
            _bring_up(parts[kind], done)
        parts[kind] |= {
            "rows": totals.rows,
            "rejected": totals.rejected,
            "last_key": units.bare_key(totals.last_key),
            "last_at": totals.last_at,
        }
    for kind, whole in (job.parts if job is not None else {}).items():
        parts[kind] = _of_job(kind, parts.get(kind), whole)
    for kind, age_s in _oldest(checkpoint, now).items():
        if kind in parts:
            parts[kind]["oldest_progress_s"] = age_s
    ages = [part["oldest_progress_s"] for part in parts.values() if part["oldest_progress_s"]]
    return {
        "running": running,
        "state": (picture or {}).get("state"),
        "seen_s_ago": round(max(0.0, now - picture["now"]), 1) if picture else None,
        "rows_per_s": picture["rows_per_s"] if picture and running else 0.0,
        "requests_per_s": picture["requests_per_s"] if picture and running else 0.0,
        "eta_s": _last([part["eta_s"] for part in parts.values()]),
        "oldest_progress_s": max(ages, default=None),
        "trade_coverage": _coverage(parts),
        "following": _followed(checkpoint, now),
        "job": None if job is None else job.document(),
        "parts": parts,
    }


def _followed(checkpoint: run_checkpoint.Checkpoint | None, now: float) -> dict[str, Any] | None:
    """How fresh the trades are by the receipts, as `window_source.describe`; None if none was ever
    followed.
    """
    if checkpoint is None:
        return None
    of_trades = registry.find_followed("external_trades_raw").name
    followed = followed_windows.FollowedWindows(of_trades, checkpoint)
    return window_source.describe(followed, now)


async def _planned(store: client.Store, kind: str) -> dict[str, Any]:
    """A plan's keys and expected trades by status."""
    table, _ = plan_table.TABLES[kind]
    statement = _COUNTS.format(table=table, unsized=plan_table.IS_UNSIZED)
    rows = {row["status"]: row for row in await store.rows(statement)}
    keys = {status: rows[status]["keys"] if status in rows else 0 for status in plan_table.STATUSES}
    trades = {
        status: rows[status]["trades"] if status in rows else 0 for status in plan_table.STATUSES
    }
    unsized = sum(rows[status]["unsized"] for status in _LEFT if status in rows)
    return {
        "keys": sum(keys.values()),
        "by_status": keys,
        "trades": trades,
        "is_size_known": not unsized,
    }


def _merged(
    kind: str, seen: dict[str, Any] | None, planned: dict[str, Any], *, running: bool
) -> dict[str, Any]:
    """What the plan counts, with the rates of the picture."""
    keys, trades = planned["by_status"], planned["trades"]
    left = sum(keys[status] for status in _LEFT)
    all_trades = sum(trades.values())
    eta_s: float | None = 0.0
    if left:
        rows_left = sum(trades[status] for status in _LEFT)
        at_limit = _at_limit(kind, left, rows_left) if planned["is_size_known"] else None
        eta_s = seen["eta_s"] if seen and running else at_limit
    return {
        **(seen or _part()),
        "keys": planned["keys"],
        "done": keys["done"],
        "error": keys["error"],
        "in_progress": keys["in_progress"],
        "pending": keys["pending"],
        "share": keys["done"] / planned["keys"],
        "eta_s": eta_s,
        "trades_expected": all_trades,
        "trade_share": trades["done"] / all_trades if all_trades else None,
        "trade_share_projected": 1 - trades["error"] / all_trades if all_trades else None,
    }


def _from_picture(part: dict[str, Any], *, running: bool) -> dict[str, Any]:
    """A part as the run shows it."""
    left = max(0, part["units"] - part["done"] - part["error"])
    return _part(
        keys=part["units"],
        done=part["done"],
        error=part["error"],
        in_progress=part["open"] if running else 0,
        pending=max(0, left - part["open"]) if running else left,
        requests_per_s=part.get("requests_per_s", 0.0) if running else 0.0,
        allowed_per_s=part["allowed_per_s"],
        eta_s=part["eta_s"] if running or left else 0.0,
    )


def _of_job(kind: str, part: dict[str, Any] | None, whole: job_figures.JobPart) -> dict[str, Any]:
    """A part with the figures of the whole job; its keys and their states are those of its plan
    where it has one.
    """
    part = part if part is not None else _part()
    if kind not in plan_table.TABLES or not part["keys"]:
        left = max(0, whole.keys - whole.done - whole.error)
        part |= {
            "keys": whole.keys,
            "done": whole.done,
            "error": whole.error,
            "share": whole.done / whole.keys if whole.keys else None,
            "pending": max(0, left - whole.open),
        }
    return part | {
        "in_progress": whole.open,
        "requests_per_s": whole.requests_per_s,
        "allowed_per_s": None,  # as much as each daemon's own address allows
        "eta_s": whole.eta_s,
        "rows": whole.rows,
        "rejected": whole.rejected,
    }


def _bring_up(part: dict[str, Any], done: int) -> None:
    """A killed run's last picture may be a second older than what the checkpoint knows."""
    if part["done"] < done <= part["keys"]:
        part["pending"] = max(0, part["pending"] - (done - part["done"]))
        part["done"], part["share"] = done, done / part["keys"]


def _part(
    *,
    keys: int = 0,
    done: int = 0,
    error: int = 0,
    in_progress: int = 0,
    pending: int = 0,
    requests_per_s: float = 0.0,
    allowed_per_s: float | None = None,
    eta_s: float | None = None,
) -> dict[str, Any]:
    return {
        "keys": keys,
        "done": done,
        "error": error,
        "in_progress": in_progress,
        "pending": pending,
        "share": done / keys if keys else None,
        "requests_per_s": requests_per_s,
        "allowed_per_s": allowed_per_s,
        "eta_s": eta_s,
        "oldest_progress_s": None,
        "rows": 0,
        "rejected": 0,
        "last_key": "",
        "last_at": "",
        "trades_expected": 0,
        "trade_share": None,
        "trade_share_projected": None,
    }


def _at_limit(kind: str, keys: int, trades: int) -> float:
    """Seconds that the requests still to send take at the published limit of their route."""
    requests = registry.KINDS[kind].requests(keys, trades)
    budget = endpoints.PUBLISHED[registry.KINDS[kind].route.budgets[0]]
    return round(requests * budget.window_s / budget.requests, 1)


def _oldest(checkpoint: run_checkpoint.Checkpoint | None, now: float) -> dict[str, float]:
    """Kind → seconds since the unit in hand that waits longest got somewhere."""
    ages: dict[str, float] = {}
    for open_unit in checkpoint.open_units() if checkpoint is not None else ():
        if open_unit.in_flight and open_unit.at:
            age_s = max(0.0, now - datetime.fromisoformat(open_unit.at).timestamp())
            ages[open_unit.unit.kind] = max(round(age_s, 1), ages.get(open_unit.unit.kind, 0.0))
    return ages


def _last(etas: list[float | None]) -> float | None:
    """The parts run side by side: the last one decides."""
    known = [eta for eta in etas if eta is not None]
    return max(known, default=0.0) if len(known) == len(etas) else None


def _coverage(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of the trades that the plan of conditions expects, or else that of wallets (`part`): the
    share that is fetched, and that will be when everything is fetched that is not in error.
    """
    for kind in ("conditions", "wallets"):
        part = parts.get(kind)
        if part and part["trades_expected"]:
            now, projected = part["trade_share"], part["trade_share_projected"]
            return {"part": kind, "now": now, "projected": projected}
    return {"part": None, "now": None, "projected": None}
