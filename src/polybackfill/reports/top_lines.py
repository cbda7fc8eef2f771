"""What `polybackfill top` shows: the facts of the page in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polybackfill import formats, terminal
from polybackfill.reports import console_table, job_lines, progress_line

_BAR = 16
_QUESTION = 27
_ON_THE_LEFT = frozenset({"part", "", "left", "workers", "budget"})
# What a narrow terminal does without, first what is said elsewhere too.
_SPARED_OF_PARTS = ("workers", "", "requests/s", "error")
_SPARED_OF_BUDGETS = ("sent", "limit")
# What was true of a run while it went on.
_PASSED = ("requests/s", "left", "workers", "allowed")


def make_lines(document: Mapping[str, Any], columns: int | None) -> list[str]:
    """The lines of one moment, tables and answers for so many columns (None: of any width).
    `document`: as `run.run_view` makes it.
    """
    picture, is_running = document["picture"], document.get("is_running") is not False
    lines = [f"polybackfill {document.get('run', '')}  {document['said']}".rstrip(), ""]
    if picture is not None:
        bar = _bar(picture["share"] or 0.0, (columns or terminal.WIDTH) - 1)
        lines[1:] = [bar, _rates(picture, is_running=is_running), ""]
    lines += _answer_lines(document["answers"], columns)
    if picture is not None:
        passed = () if is_running else _PASSED
        for rows, spared in (
            (list(_part_rows(picture["parts"])), _SPARED_OF_PARTS),
            (list(_budget_rows(picture["budgets"])), _SPARED_OF_BUDGETS),
        ):
            lines += ["", *_fitting(rows, spared, columns, passed=passed)]
        if job := job_lines.make_lines(picture.get("job")):
            lines += ["", *job]
        lines += ["", _machine(picture, document.get("machine"))]
    return lines


def _bar(share: float, cells: int) -> str:
    full = int(min(max(share, 0.0), 1.0) * cells)
    return "█" * full + "░" * (cells - full)


def _rates(picture: Mapping[str, Any], *, is_running: bool) -> str:
    rate, allowed = (formats.per_second(picture[f"{one}_per_s"]) for one in ("requests", "allowed"))
    rates = f"{formats.per_second(picture['rows_per_s'])} rows/s  {rate} of {allowed} requests/s  "
    return (
        f"{formats.percent(picture['share'])}  {rates if is_running else ''}"
        f"{formats.counted(progress_line.rows(dict(picture)), 'row')} stored"
    )


def _answer_lines(answers: list[dict[str, Any]], columns: int | None) -> Iterator[str]:
    for answer in answers:
        lines = [f"{answer['question']:<{_QUESTION}}{answer['text']}"]
        lines += [f"{'':<{_QUESTION}}{command}" for command in answer["commands"]]
        for line in lines:
            fitting = line if columns is None else terminal.wrapped(line, columns, indent=_QUESTION)
            yield from fitting.split("\n")


def _part_rows(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for kind, part in parts.items():
        yield {
            "part": kind,
            "": _bar(part["share"] or 0.0, _BAR),
            "done": progress_line.part_share(part),
            "keys": f"{part['done']:,}/{part['units']:,}",
            "error": f"{part['error']:,}",
            "requests/s": formats.per_second(part["requests_per_s"]),
            "left": progress_line.part_left(part),
            "workers": ", ".join(f"{count} {wait}" for wait, count in part["waits"].items()),
        }


def _budget_rows(budgets: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for name, budget in budgets.items():
        if budget["sent"]:
            yield {
                "budget": name,
                "requests/s": formats.per_second(budget["rate_per_s"]),
                "allowed": formats.per_second(budget["allowed_per_s"]),
                "limit": formats.per_second(budget["limit"] / budget["window_s"]),
                "sent": f"{budget['sent']:,}",
                "refused": f"{budget['refusals']:,}",
            }


def _fitting(
    rows: Sequence[Mapping[str, str]],
    spared: Sequence[str],
    columns: int | None,
    *,
    passed: Sequence[str],
) -> list[str]:
    """A table without the `passed` columns, nor the first of the `spared` ones, as many as it takes
    to fit.
    """
    if not rows:
        return []
    for count in range(len(spared) + 1):
        names = [name for name in rows[0] if name not in (*passed, *spared[:count])]
        texts = [[row[name] for name in names] for row in rows]
        table = console_table.align(names, texts, [name not in _ON_THE_LEFT for name in names])
        if columns is None or max(map(terminal.cells, table)) <= columns:
            break
    return table


def _machine(picture: Mapping[str, Any], machine: Mapping[str, Any] | None) -> str:
    batch = picture["batch"]
    facts = ["no row waits for its insert"]
    if batch["rows"]:
        rows = formats.counted(batch["rows"], "row")
        facts = [f"{rows} to be inserted, the oldest since {batch['age_s']:.1f} s"]
    if machine and machine["memory_bytes"]:
        facts.append(f"memory {formats.size(machine['memory_bytes'])}")
    for name, disk in (machine or {}).get("disks", {}).items():
        facts.append(f"{name} {formats.size(disk['free_bytes'])} free")
    return "  ".join(facts)
