"""What `polybackfill top` shows: the facts of the page in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from polybackfill import formats
from polybackfill.reports import job_lines, progress_line

_BAR = 20
_QUESTION = 27


def make_lines(document: Mapping[str, Any], columns: int) -> list[str]:
    """The lines of one moment. `document`: as `run.run_view` makes it."""
    picture = document["picture"]
    lines = [f"polybackfill {document.get('run', '')}  {document['said']}".rstrip(), ""]
    if picture is not None:
        lines[1:] = [f"{_bar(picture['share'] or 0.0, columns - 1)}", _rates(picture), ""]
    lines += _answer_lines(document["answers"])
    if picture is not None:
        lines += ["", *_part_lines(picture["parts"]), "", *_budget_lines(picture["budgets"])]
        if job := job_lines.make_lines(picture.get("job")):
            lines += ["", *job]
        lines += ["", _machine(picture, document.get("machine"))]
    return lines


def _bar(share: float, cells: int) -> str:
    full = int(min(max(share, 0.0), 1.0) * cells)
    return "█" * full + "░" * (cells - full)


def _rates(picture: Mapping[str, Any]) -> str:
    rate, allowed = (formats.per_second(picture[f"{one}_per_s"]) for one in ("requests", "allowed"))
    return (
        f"{formats.percent(picture['share'])}  {formats.per_second(picture['rows_per_s'])} rows/s  "
        f"{rate} of {allowed} requests/s  "
        f"{formats.counted(progress_line.rows(dict(picture)), 'row')} stored"
    )


def _answer_lines(answers: list[dict[str, Any]]) -> Iterator[str]:
    for answer in answers:
        yield f"{answer['question']:<{_QUESTION}}{answer['text']}"
        for command in answer["commands"]:
            yield f"{'':<{_QUESTION}}{command}"


def _part_lines(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"{'part':<12}{'':<{_BAR}}{'done':>13}{'keys':>23}{'error':>8}{'requests/s':>12}  left"
    for kind, part in parts.items():
        left = "proven" if part["complete"] else progress_line.remaining(part["eta_s"])
        if part["complete"] and part["error"]:
            left = "ended"
        waits = ", ".join(f"{count} {wait}" for wait, count in part["waits"].items())
        yield (
            f"{kind:<12}{_bar(part['share'] or 0.0, _BAR)}"
            f"{progress_line.part_share(part):>13}"
            f"{part['done']:>11,}/{part['units']:<11,}{part['error']:>8,}"
            f"{formats.per_second(part['requests_per_s']):>12}  {left}"
            f"{f'  ({waits})' if waits else ''}"
        )


def _budget_lines(budgets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"{'budget':<20}{'requests/s':>12}{'allowed':>10}{'limit':>10}{'sent':>12}{'refused':>9}"
    for name, budget in budgets.items():
        if budget["sent"]:
            limit = formats.per_second(budget["limit"] / budget["window_s"])
            yield (
                f"{name:<20}{formats.per_second(budget['rate_per_s']):>12}"
                f"{formats.per_second(budget['allowed_per_s']):>10}{limit:>10}"
                f"{budget['sent']:>12,}{budget['refusals']:>9,}"
            )


def _machine(picture: Mapping[str, Any], machine: Mapping[str, Any] | None) -> str:
    batch = picture["batch"]
    facts = [f"{batch['rows']:,} rows wait for their insert, the oldest for {batch['age_s']:.1f} s"]
    if machine and machine["memory_bytes"]:
        facts.append(f"memory {formats.size(machine['memory_bytes'])}")
    for name, disk in (machine or {}).get("disks", {}).items():
        facts.append(f"{name} {formats.size(disk['free_bytes'])} free")
    return "  ".join(facts)
