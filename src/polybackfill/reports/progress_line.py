"""The progress line: redrawn on a terminal, a plain line now and then in a file."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from polybackfill import formats, terminal
from polybackfill.inputs import time_arguments

_REDRAW_S = 0.5
# Multiplexers change what they show at once and say so up to 0.25 s later (tmux): a line that is
# erased in between is measured by the wrong width.
_SETTLED_S = 0.4
_FIRST_LINE_S = 3.0
_LONG_INSERT_S = 3.0
_ENDS = {"finished", "stopped", "failed"}
_GAP = "  "


async def show(current: Callable[[], dict[str, Any]], *, every_s: float = 60.0) -> None:
    """Keep the line up to date on stderr until cancelled; `every_s` between plain lines."""
    if not terminal.is_interactive(sys.stderr):
        await asyncio.sleep(_FIRST_LINE_S)
        while True:
            print(line(current()), file=sys.stderr, flush=True)
            await asyncio.sleep(every_s)
    with terminal.bottom_line() as bottom, _resizes() as resized:
        while True:
            columns = terminal.width(sys.stderr)
            bottom.draw(line(current(), columns and columns - 1))
            await _is_set(resized, _REDRAW_S)
            while resized.is_set():  # drawn again when the width has stayed for a while
                resized.clear()
                await _is_set(resized, _SETTLED_S)


async def _is_set(event: asyncio.Event, within_s: float) -> None:
    """Wait for it, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)


@contextlib.contextmanager
def _resizes() -> Iterator[asyncio.Event]:
    """Set when the terminal has changed its width, which breaks the line that stands there."""
    resized, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError):  # no signals in this place
        loop.add_signal_handler(signal.SIGWINCH, resized.set)
    try:
        yield resized
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGWINCH)


def line(picture: dict[str, Any], columns: int | None = None) -> str:
    """Share, time left, rows/s and requests/s; what the run waits for; the parts with work.

    In so many columns what stands behind is left out; the first four fit into 60.
    """
    pieces = list(_pieces(picture, is_wide=columns is None))
    if columns is None:
        return _GAP.join(pieces)
    text = pieces[0]
    for piece in pieces[1:]:
        if terminal.cells(text + _GAP + piece) > columns:
            return text if terminal.cells(text) + 2 > columns else f"{text} …"
        text += _GAP + piece
    return text


def _pieces(picture: dict[str, Any], *, is_wide: bool) -> Iterator[str]:
    if is_following := bool(picture.get("following")):
        yield following(picture["following"])
    else:
        yield from _remaining(picture)
    yield from _rates(picture, is_wide=is_wide)
    finished = 0
    for kind, part in picture["parts"].items():
        if not part["units"]:
            continue
        if part.get("complete"):
            finished += 1
        failed = f" ({part['error']:,} error)" if part["error"] else ""
        if failed or not (part.get("complete") or is_following):
            yield f"{kind} {part['done']:,}/{part['units']:,}{failed}"
    if finished and not is_following:
        yield f"{formats.counted(finished, 'part')} done"
    yield formats.counted(rows(picture), "row")


def _remaining(picture: dict[str, Any]) -> Iterator[str]:
    yield "share …" if picture["share"] is None else formats.percent(picture["share"])
    yield remaining(picture["eta_s"])


def _rates(picture: dict[str, Any], *, is_wide: bool) -> Iterator[str]:
    yield f"{formats.per_second(picture['rows_per_s'])} rows/s"
    allowed = f" of {formats.per_second(picture['allowed_per_s'])}" if is_wide else ""
    yield f"{formats.per_second(picture['requests_per_s'])}{allowed} requests/s"
    if waits := waiting(picture):
        yield f"({waits})"


def following(facts: dict[str, Any]) -> str:
    """`following: fresh to 2026-11-29 12:03:05 UTC, lag 7 s`, and how many gaps there are."""
    lag = formats.duration(facts["lag_s"])
    return f"following: fresh to {fresh_to(facts)}, lag {lag}{_gaps(facts)}"


def followed(facts: dict[str, Any]) -> str:
    """The same of a run that has ended, which lies further behind with each second."""
    return f"followed up to {fresh_to(facts)}{_gaps(facts)}"


def fresh_to(facts: dict[str, Any]) -> str:
    """The last second whose trades are proven."""
    return datetime.fromtimestamp(facts["fresh_to"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _gaps(facts: dict[str, Any]) -> str:
    gaps = len(facts["gaps"])
    return f", {formats.counted(gaps, 'gap')}" if gaps else ""


def rows(picture: dict[str, Any]) -> int:
    """Rows acknowledged by the store in this run, all tables."""
    return int(sum(picture["rows"].values()))


def set_aside(picture: dict[str, Any]) -> int:
    """Rows of this run that could not be read, or that the store refused."""
    unread = sum(part.get("set_aside", 0) for part in picture["parts"].values())
    return int(unread + picture.get("refused_rows", 0))


def part_share(part: Mapping[str, Any]) -> str:
    """How much of a part is done, by its keys; what ended in error is not."""
    if part["share"] is None:
        return "not counted"
    return formats.percent(part["done"] / part["units"] if part["units"] else 1.0)


def part_left(part: Mapping[str, Any]) -> str:
    """How long a part takes that goes on, or how it ended."""
    if part.get("complete"):
        return "ended" if part["error"] else "proven complete"
    if part["units"] and part["done"] + part["error"] >= part["units"]:
        return "more may come"
    return remaining(part["eta_s"])


def remaining(eta_s: float | None) -> str:
    """`ETA 1 h 05 min`, or that it is not known yet."""
    return "ETA unknown" if eta_s is None else f"ETA {formats.duration(eta_s)}"


def waiting(picture: dict[str, Any]) -> str:
    """What holds the run up at this moment, empty when nothing does."""
    if picture["state"] == "finishing":
        return "everything is fetched; making market ids and reports"
    if picture["state"] == "draining":
        return "stopping: storing the rows under way"
    if picture["store_wait_s"] > _LONG_INSERT_S:
        return f"waiting for the store since {formats.duration(picture['store_wait_s'])}"
    for host, pause in picture["pauses"].items():
        if pause["left_s"] > 0:
            return f"{host} asked for a pause, {formats.duration(pause['left_s'])} left"
    for route, out_s in picture["out"].items():
        return f"{route} has answered no request for {formats.duration(out_s)}"
    return ""


def summary_lines(picture: dict[str, Any], *, dry_run: bool) -> list[str]:
    """The last words of a run: what is proven, what is not, and what to do about it."""
    # Not by the clock on the wall, which may be set meanwhile.
    took = formats.duration(picture.get("took_s", picture["now"] - picture["started_at"]))
    stored = "would be stored" if dry_run else "acknowledged"
    state = picture["state"] if picture["state"] in _ENDS else "ended without notice"
    lines = [f"{state} after {took}: {formats.counted(rows(picture), 'row')} {stored}"]
    if facts := picture.get("following"):
        lines.append(f"  {followed(facts)}")
    lines += [proven(kind, part) for kind, part in picture["parts"].items()]
    if any(part["error"] for part in picture["parts"].values()):
        lines += [
            f"  {failed['unit']}: {terminal.excerpt(failed['error'])}"
            for failed in picture.get("failed", ())
        ]
        lines.append("  all: polybackfill plan show    again: polybackfill plan reset --errors")
    if count := set_aside(picture):
        again = " as by earlier runs" if picture.get("newly_set_aside") == 0 else ""
        lines.append(
            f"  {formats.counted(count, 'row')} set aside{again}, not proven: "
            "polybackfill quarantine list"
        )
    if state == "stopped" and picture.get("stop_at"):
        lines.append(f"  it was to run {until(picture)}")
    if state != "finished":
        lines.append("  start it again to continue where it stopped")
    return [*lines, *held_back(picture.get("held_back", {}))]


def held_back(reasons: Mapping[str, str]) -> list[str]:
    """The kinds of units that were not fetched since the API has changed, and what to do."""
    lines = [
        f"  {kind:<11} held back: {terminal.excerpt(reason)}" for kind, reason in reasons.items()
    ]
    if lines:
        lines.append("  the API has changed: polybackfill doctor --probe, docs/probe.md")
    return lines


def until(picture: dict[str, Any]) -> str:
    """`until 2026-11-29 07:00 CET`; empty when it runs to its end."""
    moment = picture.get("stop_at")
    return f"until {time_arguments.local_text(moment)}" if moment else ""


def proven(kind: str, part: dict[str, Any]) -> str:
    """A line about a part that has ended, or is to be continued."""
    open_units = part["units"] - part["done"] - part["error"]
    if not part["units"] and not part.get("complete"):
        return f"  {kind:<11} not begun"
    aside = part.get("set_aside", 0)
    state = (
        f"complete but for {formats.counted(aside, 'row')} set aside"
        if aside
        else "proven complete"
    )
    text = f"  {kind:<11} {part['done']:,} of {part['units']:,} {state}"
    text += f", {part['error']:,} in error" if part["error"] else ""
    return text + (f", {open_units:,} to go" if open_units else "")
