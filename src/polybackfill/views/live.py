"""The progress line: redrawn on a terminal, a plain line now and then in a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import rich.console
import rich.live
import rich.text

_REDRAW_S = 0.5
_FIRST_LINE_S = 3.0
_LONG_INSERT_S = 3.0
_ENDS = {"finished", "stopped", "failed"}


async def show(current: Callable[[], dict[str, Any]], *, every_s: float = 60.0) -> None:
    """Keep the line up to date on stderr until cancelled; `every_s` between plain lines."""
    if not sys.stderr.isatty():
        await asyncio.sleep(_FIRST_LINE_S)
        while True:
            print(line(current()), file=sys.stderr, flush=True)
            await asyncio.sleep(every_s)
    console = rich.console.Console(stderr=True)
    with rich.live.Live(console=console, refresh_per_second=4, transient=True) as view:
        while True:
            view.update(rich.text.Text(line(current()), no_wrap=True, overflow="ellipsis"))
            await asyncio.sleep(_REDRAW_S)


def line(picture: dict[str, Any]) -> str:
    """Share, parts, rows/s, requests/s of the allowed, time left; and what the run waits for."""
    parts = "  ".join(
        f"{kind} {part['done']:,}/{part['units']:,}"
        + (f" ({part['error']} error)" if part["error"] else "")
        for kind, part in picture["parts"].items()
    )
    share = "     …" if picture["share"] is None else f"{picture['share']:6.1%}"
    text = (
        f"{share}  {parts}  {rows(picture):,} rows  "
        f"{picture['rows_per_s']:,.0f} rows/s  "
        f"{picture['requests_per_s']:.1f} of {picture['allowed_per_s']:.1f} requests/s  "
        f"{remaining(picture['eta_s'])}"
    )
    return text + waiting(picture)


def rows(picture: dict[str, Any]) -> int:
    """Rows acknowledged by the store in this run, all tables."""
    return int(sum(picture["rows"].values()))


def remaining(eta_s: float | None) -> str:
    """`ETA 1 h 05 min`, or that it is not known yet."""
    return "ETA unknown" if eta_s is None else f"ETA {duration(eta_s)}"


def waiting(picture: dict[str, Any]) -> str:
    """What holds the run up at this moment, empty when nothing does."""
    if picture["state"] == "finishing":
        return "  (everything is fetched; ids and reports are made)"
    if picture["store_wait_s"] > _LONG_INSERT_S:
        return f"  (waiting for the store since {duration(picture['store_wait_s'])})"
    for host, pause in picture["pauses"].items():
        if pause["left_s"] > 0:
            return f"  ({host} asked for a pause, {duration(pause['left_s'])} left)"
    for route, out_s in picture["out"].items():
        return f"  ({route} has only failed for {duration(out_s)})"
    return ""


def duration(length_s: float) -> str:
    """`4 s`, `1 min 05 s`, `1 h 05 min`."""
    seconds = round(length_s)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def ending(picture: dict[str, Any], *, dry_run: bool) -> list[str]:
    """The last words of a run: what is proven, what is not, and what to do about it."""
    took = duration(picture["now"] - picture["started_at"])
    stored = "would be stored" if dry_run else "acknowledged"
    state = picture["state"] if picture["state"] in _ENDS else "ended without notice"
    lines = [f"{state} after {took}: {rows(picture):,} rows {stored}"]
    for kind, part in picture["parts"].items():
        open_units = part["units"] - part["done"] - part["error"]
        text = f"  {kind:<11} {part['done']:,} of {part['units']:,} proven complete"
        text += f", {part['error']:,} in error" if part["error"] else ""
        text += f", {open_units:,} to go" if open_units else ""
        lines.append(text)
    if any(part["error"] for part in picture["parts"].values()):
        lines += [f"  {held['unit']}: {held['error']}" for held in picture.get("failed", ())]
        lines.append("  all: polybackfill plan show    again: polybackfill plan reset --errors")
    if picture["rows"].get("quarantine_landing"):
        count = picture["rows"]["quarantine_landing"]
        lines.append(f"  {count:,} rows set aside: polybackfill quarantine list")
    if state != "finished":
        lines.append("  start it again to continue where it stopped")
    return lines
