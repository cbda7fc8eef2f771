"""The morning report in words: the sections that its page and its text show alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polybackfill import clocks, formats, terminal
from polybackfill.checks import resolution_checks
from polybackfill.kinds import registry
from polybackfill.reports import (
    coverage_text,
    estimate_lines,
    morning_facts,
    night_record,
    progress_line,
    run_files,
)

UNKNOWN = "unknown"
_KEYS_SHOWN = 5  # of each part; `report coverage` shows more
_TEXT_MAX = 500  # characters of a message; a URL stands before what the API said
_NIGHT_S = 8 * 3_600.0


@dataclass(frozen=True)
class Table:
    """Rows of text. `numbers`: for each column whether it stands on the right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[bool]


@dataclass(frozen=True)
class Section:
    """A title, sentences, and tables below them."""

    title: str
    lines: Sequence[str]
    tables: Sequence[Table] = ()


def make_sections(facts: morning_facts.MorningFacts) -> list[Section]:
    """All sections, in the order in which they are read."""
    return [
        _loaded(facts.night),
        *_job(facts.night),
        _proven(facts),
        _missing(facts),
        _errors(facts),
        _slow(facts),
        _drift(facts),
        _changes(facts),
        _tonight(facts.tonight),
    ]


def lead(facts: morning_facts.MorningFacts) -> str:
    """The whole report in a few sentences."""
    return " ".join((_describe_run(facts), _describe_proof(facts), _describe_trouble(facts)))


def _describe_run(facts: morning_facts.MorningFacts) -> str:
    if facts.night is None:
        return "No run has left a status file: what a run did is unknown."
    night = facts.night
    rows = formats.counted(progress_line.rows(night), "row")
    took = formats.duration(_took_s(night))
    if facts.state in {"finished", "stopped"}:
        text = f"The run {facts.state} after {took} with {rows} acknowledged."
        return f"{text}{_describe_following(facts)}"
    text = f"The run is {facts.state} after {took} with {rows} acknowledged."
    text += _describe_following(facts)
    return f"{text} But {run_files.NOT_COMPARED}." if facts.state == "crashed" else text


def _describe_following(facts: morning_facts.MorningFacts) -> str:
    followed = facts.night and facts.night.get("following")
    if not followed:
        return ""
    if facts.state == "running":
        return f" It is {progress_line.following(followed)}."
    return f" It {progress_line.followed(followed)}."


def _describe_proof(facts: morning_facts.MorningFacts) -> str:
    if facts.coverage is None:
        return f"What is proven is {UNKNOWN}: {_short(facts.store_trouble)}."
    not_begun = [name for name, _, _ in _parts_not_begun(facts)]
    return coverage_text.conclusion(facts.coverage["parts"], not_begun=not_begun)


def _parts_not_begun(facts: morning_facts.MorningFacts) -> list[tuple[str, int, int]]:
    """Parts of which the store does not know that they are to be read, since nothing of them is
    stored: their names, keys left, and keys, as the run counted them.
    """
    known = {part["name"] for part in facts.coverage["parts"]} if facts.coverage else set()
    return [
        (kind, part["units"] - part["done"], part["units"])
        for kind, part in (facts.night or {"parts": {}})["parts"].items()
        if kind in registry.PARTS and kind not in known and part["done"] < part["units"]
    ]


def _describe_trouble(facts: morning_facts.MorningFacts) -> str:
    counts = (
        ("unit", "in error", facts.units_in_error),
        ("row", "set aside", facts.rows_set_aside),
    )
    trouble = [
        f"{formats.counted(count, thing)} {state}" for thing, state, count in counts if count
    ]
    trouble += [f"{_short(kind)} held back" for kind in facts.drift.held_back]
    unknown = [f"{thing}s {state}" for thing, state, count in counts if count is None]
    text = f"To look at: {', '.join(trouble)}." if trouble else ""
    if unknown:
        text += f"{' ' if text else ''}Unknown: {' and '.join(unknown)}."
    return text or "Nothing is in error, nothing is set aside."


def _loaded(night: dict[str, Any] | None) -> Section:
    title = "What Was Loaded"
    if night is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: no run has left a status file."])
    took_s = _took_s(night)
    rows, sent = progress_line.rows(night), sum(one["sent"] for one in night["budgets"].values())
    lines = [f"Begun {clocks.utc_text(night['started_at'])}, {formats.duration(took_s)}."]
    if took_s > 0:
        lines.append(
            f"On average {formats.per_second(rows / took_s)} rows/s and "
            f"{formats.per_second(sent / took_s)} requests/s."
        )
    stored = [(table, f"{count:,}") for table, count in night["rows"].items() if count]
    kinds = [
        (
            kind,
            f"{part['pages']:,}",
            f"{part['done']:,}",
            f"{part['units']:,}",
            f"{part['error']:,}",
        )
        for kind, part in night["parts"].items()
    ]
    return Section(
        title,
        lines,
        _tables(
            (("Table", "Rows acknowledged"), stored),
            (("Units", "Pages", "Done", "Of", "In error"), kinds),
        ),
    )


def _job(night: Mapping[str, Any] | None) -> Iterator[Section]:
    """The whole of a job, of which the sections around tell one daemon's part."""
    job = (night or {}).get("job") or {}
    if "hosts" not in job:  # without the store only what one daemon knew of it
        return
    parts = [
        (
            kind,
            f"{part['shards_done']:,} of {part['shards']:,}",
            f"{part['done']:,}",
            f"{part['keys']:,}",
            f"{part['error']:,}",
            f"{part['rows']:,}",
        )
        for kind, part in job["parts"].items()
    ]
    daemons = [
        (
            host["run_name"],
            host["host"],
            host["state"],
            f"{host['keys']:,}",
            f"{host['rows']:,}",
            f"{host['pages']:,}",
            host["newest"] or UNKNOWN,
        )
        for host in job["hosts"]
    ]
    line = f"Job {job['name']}, round {job['round']:,}, begun {clocks.utc_text(job['began_at'])}; "
    line += f"{formats.counted(job['at_work'], 'daemon')} at work now."
    heads = ("Daemon", "Host", "State", "Keys proven", "Rows", "Pages", "Newest receipt")
    tables = _tables((("Units", "Shards done", "Proven", "Keys", "In error", "Rows"), parts))
    if daemons:
        tables.append(Table(heads, daemons, (False, False, False, True, True, True, False)))
    yield Section("The Job and Its Daemons", [line], tables)


def _proven(facts: morning_facts.MorningFacts) -> Section:
    title = "What Is Proven"
    if facts.coverage is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: {_short(facts.store_trouble)}"])
    rows = [
        (
            part["name"],
            formats.percent(part["share"]),
            f"{part['proven']:,}",
            f"{part['keys']:,}",
            f"{part['set_aside']:,}",
            f"{part['stored']:,}",
        )
        for part in facts.coverage["parts"]
    ]
    union, repeated = facts.coverage["union"], facts.coverage["duplicates"]["ids"]
    lines = [
        "Proven: the feed said that it ended, the store acknowledged every row, and the checkpoint "
        "holds the receipt.",
        "The union view holds every row." if union["holds"] else "The union view DOES NOT HOLD.",
        f"{formats.counted(repeated, 'trade id')} stored more than once.",
        *resolution_checks.describe(facts.coverage["disagreements"]["counts"]),
    ]
    heads = ("Part", "Proven", "Keys proven", "Of", "Set aside", "Rows stored")
    return Section(title, lines, _tables((heads, rows)))


def _missing(facts: morning_facts.MorningFacts) -> Section:
    title = "What Is Missing, and Why"
    if facts.coverage is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: {_short(facts.store_trouble)}"])
    lines, rows = [], []
    for part in facts.coverage["parts"]:
        left = part["keys"] - part["proven"]
        if not part["keys"]:
            lines.append(f"{part['name']}: nothing was begun.")
        if left:
            lines.append(f"{part['name']}: {left:,} of {formats.counted(part['keys'], 'key')}.")
        rows += [
            (part["name"], one["key"], one["state"], _short(one["error"]))
            for one in part["unproven"][:_KEYS_SHOWN]
        ]
    lines += [
        f"{name}: {left:,} of {formats.counted(keys, 'key')}, as the run counted them."
        for name, left, keys in _parts_not_begun(facts)
    ]
    lines += [
        f"Trades of {clocks.utc_text(since)} to {clocks.utc_text(until)} were not followed; the "
        "next start reads what markets and wallets still tell of them."
        for since, until in ((facts.night or {}).get("following") or {}).get("gaps", ())
    ]
    aside = [
        (_short(one["reason"]), f"{one['rows']:,}", str(one["newest"]))
        for one in facts.set_aside or ()
    ]
    lines += [
        f"{_short(kind)} was held back: {_short(reason)}"
        for kind, reason in facts.drift.held_back.items()
    ]
    if aside:
        lines.append("Rows are set aside; polybackfill quarantine list shows them.")
    tables = [Table(("Part", "Key", "State", "Why"), rows, (False,) * 4)] if rows else []
    tables += _tables((("Set aside", "Rows", "Newest"), aside))
    return Section(title, lines or ["Nothing."], tables)


def _errors(facts: morning_facts.MorningFacts) -> Section:
    title = "Errors by Cause"
    if facts.errors is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: there is no checkpoint."])
    rows = [
        (f"{cause.units:,} {', '.join(cause.kinds)}", _short(cause.message), cause.remedy)
        for cause in facts.errors
    ]
    if not rows:
        return Section(title, ["None."])
    return Section(title, [], [Table(("Units", "Cause", "What to do"), rows, (False,) * 3)])


def _slow(facts: morning_facts.MorningFacts) -> Section:
    title = "What Was Slow"
    if facts.slowdowns is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: no run has left a status file."])
    rows = [(slowdown.where, slowdown.what) for slowdown in facts.slowdowns]
    if not rows:
        return Section(title, ["Nothing: no refusal, no retry, no stall."])
    return Section(title, [], [Table(("Where", "What"), rows, (False, False))])


def _drift(facts: morning_facts.MorningFacts) -> Section:
    drift = facts.drift
    lines = [f"{_short(name)}: {_short(seen)}" for name, seen in drift.broken.items()]
    lines += [
        f"{_short(kind)} held back: {_short(reason)}" for kind, reason in drift.held_back.items()
    ]
    lines += [
        f"{kind}: unknown field {_short(name)} in {formats.counted(count, 'row')}"
        for kind, fields in drift.unknown_fields.items()
        for name, count in fields.items()
    ]
    if lines:
        lines.append("More: polybackfill doctor --probe")
    if drift.checked_at is None:
        lines.append(
            f"Whether the API is as expected is {UNKNOWN}: it was never checked (polybackfill "
            "doctor --probe)."
        )
    else:
        checked = f"last checked {clocks.utc_text(drift.checked_at)}"
        lines.append(f"{'Nothing' if not lines else 'The rest is as expected'}; {checked}.")
    return Section("What Drifted in the Source", lines)


def _changes(facts: morning_facts.MorningFacts) -> Section:
    title, now, before = "What Changed Since the Night Before", facts.now, facts.before
    if now is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: {_short(facts.store_trouble)}"])
    lines = [f"The night before is {UNKNOWN}: no report of it is kept."]
    if before is not None:
        lines = [f"Against {clocks.utc_text(before.at)}."]
    rows = [
        _change(f"rows of {table}", count, None if before is None else before.rows.get(table))
        for table, count in now.rows.items()
    ]
    for name in ("wallets", "markets"):
        earlier = None if before is None else getattr(before, name)
        rows.append(_change(f"{name} with external trades", getattr(now, name), earlier))
    tables = _tables((("", "Now", "Before", "Change"), rows))
    if now.leaders:
        tables += _tables(
            (("Profit leader", "USD", "Change", "Place before"), _leaders(now, before))
        )
    else:
        lines.append("No wallet is known to have an economic profit.")
    return Section(title, lines, tables)


def _change(name: str, now: int, before: int | None) -> tuple[str, ...]:
    if before is None:
        return name, f"{now:,}", UNKNOWN, UNKNOWN
    return name, f"{now:,}", f"{before:,}", f"{now - before:+,}" if now != before else "0"


def _leaders(
    now: night_record.NightRecord, before: night_record.NightRecord | None
) -> Iterator[tuple[str, ...]]:
    """Each leader with the profit gained; of one who was no leader before that is not known."""
    leaders_before = before.leaders if before is not None else ()
    ranks = {leader.wallet: rank for rank, leader in enumerate(leaders_before, 1)}
    for leader in now.leaders:
        rank = ranks.get(leader.wallet)
        if before is None or rank is None:
            new = UNKNOWN if before is None else f"not among {night_record.LEADERS}"
            yield leader.wallet, f"{leader.usd:,.2f}", UNKNOWN, new
        else:
            gain = round(leader.usd - before.leaders[rank - 1].usd, 2) + 0.0
            yield leader.wallet, f"{leader.usd:,.2f}", f"{gain:+,.2f}", f"{rank}"


def _tonight(tonight: Mapping[str, Any] | None) -> Section:
    title = "What Tonight Will Do and Take"
    if tonight is None:
        return Section(title, [f"{UNKNOWN.capitalize()}: the store was not asked."])
    least = "at least " if tonight["unknown_rows"] else ""
    lines = [
        f"{least}{formats.counted(tonight['requests'], 'request')}, {least}"
        f"{formats.duration(tonight['hours'] * 3600)} on "
        f"{estimate_lines.describe_addresses(tonight['hosts'])}, "
        f"{least}{formats.size(tonight['bytes'])} on disk."
    ]
    if tonight["unknown_rows"]:
        lines.append(f"The rows of {', '.join(tonight['unknown_rows'])} are {UNKNOWN}.")
    if tonight["hours"] * 3600 > _NIGHT_S:
        share = formats.percent(tonight["one_night"]["share"])
        lines.append(
            f"One night of {formats.duration(_NIGHT_S)} is enough for {share} of the requests; the "
            "next one continues."
        )
    rows = [
        (
            part["kind"],
            f"{part['units']:,}",
            f"{part['requests']:,}",
            UNKNOWN if part["rows"] is None else f"{part['rows']:,}",
            formats.duration(part["hours"] * 3600),
        )
        for part in tonight["parts"]
    ]
    return Section(
        title, lines, _tables((("Units", "Count", "Requests", "Rows", "At its limit"), rows))
    )


def _tables(
    *listed: tuple[Sequence[str], Iterator[Sequence[str]] | Sequence[Sequence[str]]],
) -> list[Table]:
    """Tables of figures behind a name; none where there is no row."""
    tables = [
        Table(heads, list(rows), (False, *(True,) * (len(heads) - 1))) for heads, rows in listed
    ]
    return [table for table in tables if table.rows]


def _took_s(night: Mapping[str, Any]) -> float:
    return float(night.get("took_s", night["now"] - night["started_at"]))


def _short(text: str | None) -> str:
    return terminal.excerpt(text or "", _TEXT_MAX)
