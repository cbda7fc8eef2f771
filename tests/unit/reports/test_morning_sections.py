"""The morning report in words: what is unknown is said to be, and no text is markup."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from polybackfill import terminal, units
from polybackfill.checkpoint import unit_states
from polybackfill.reports import (
    error_causes,
    job_figures,
    morning_facts,
    morning_page,
    morning_sections,
    morning_text,
    night_record,
)

NOTHING = morning_facts.MorningFacts(
    at=1_800_000_000.0,
    run="main",
    state="never",
    night=None,
    coverage=None,
    store_trouble="the store is away",
    errors=None,
    set_aside=None,
    drift=morning_facts.Drift(None),
    now=None,
    before=None,
    tonight=None,
)
HOSTILE = "<script>alert(1)</script> \x1b[31m"


def failed(number: int, error: str, *, passing: bool = False) -> unit_states.FailedUnit:
    return unit_states.FailedUnit(
        seq=number,
        unit=units.Unit("wallets", (f"{number:040x}",)),
        attempts=1,
        error=error,
        counts=units.Counts(),
        at="",
        passing=passing,
    )


def record(
    started_at: float, *leaders: tuple[str, float], rows: int = 5
) -> night_record.NightRecord:
    return night_record.NightRecord(
        started_at=started_at,
        at=started_at + 100,
        rows={"trades": rows},
        wallets=2,
        markets=3,
        leaders=tuple(night_record.Leader(*leader) for leader in leaders),
    )


def words_of(facts: morning_facts.MorningFacts, title: str) -> str:
    (section,) = (one for one in morning_sections.make_sections(facts) if one.title == title)
    return morning_text.render_text([section], title="", lead="", columns=200)


def test_nothing_is_known_of_nothing() -> None:
    """No section passes silence off as zero."""
    for section in morning_sections.make_sections(NOTHING):
        assert "unknown" in " ".join(section.lines).lower(), section.title
        assert not section.tables
    lead = morning_sections.lead(NOTHING)
    assert "the store is away" in lead
    assert "Unknown: units in error and rows set aside." in lead


def test_errors_of_one_cause_are_one_line() -> None:
    causes = error_causes.group_errors(
        [
            failed(1, f"GET /v2/activity?user=0x{1:040x} answered 400"),
            failed(2, "no answer in 20.5 s", passing=True),
            failed(3, f"GET /v2/activity?user=0x{3:040x} answered 400"),
        ]
    )
    assert [(cause.units, cause.is_passing) for cause in causes] == [(2, False), (1, True)]
    assert causes[0].example.endswith("3"), "the newest"
    assert "plan reset --errors" in causes[0].remedy
    assert "next run" in causes[1].remedy


def test_one_that_does_not_pass_makes_the_group_one_that_does_not() -> None:
    (cause,) = error_causes.group_errors([failed(1, "a"), failed(2, "a", passing=True)])
    assert not cause.is_passing


def test_the_night_before_is_that_of_an_earlier_run(tmp_path: Path) -> None:
    file = tmp_path / night_record.FILE
    assert night_record.read_before(file, 10.0) is None
    for started_at in (10.0, 20.0, 20.0, 30.0):
        night_record.keep(file, record(started_at))
    before = night_record.read_before(file, 30.0)
    assert before == record(20.0)
    assert night_record.read_before(file, 10.0) is None


@pytest.mark.parametrize("content", [b"", b"{}\n", b'{"nights":[]}\n', b"\xff\xfe"])
def test_a_damaged_record_is_unknown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / night_record.FILE
    night_record.keep(file, record(10.0))
    file.write_bytes(content)
    assert night_record.read_before(file, 20.0) is None


def test_changes_are_counted_against_the_night_before() -> None:
    before, now = (
        record(10.0, ("0xa", 5.0), rows=5),
        record(20.0, ("0xb", 7.0), ("0xa", 6.5), rows=9),
    )
    facts = dataclasses.replace(NOTHING, now=now, before=before)
    lines = [
        line.split() for line in words_of(facts, "What Changed Since the Night Before").split("\n")
    ]
    assert ["rows", "of", "trades", "9", "5", "+4"] in lines
    assert ["0xb", "7.00", "unknown", "not", "among", "10"] in lines
    assert ["0xa", "6.50", "+1.50", "1"] in lines
    alone = words_of(dataclasses.replace(facts, before=None), "What Changed Since the Night Before")
    assert "9  unknown  unknown" in alone
    assert "+" not in alone


def test_a_job_is_told_whole_and_daemon_by_daemon() -> None:
    part = job_figures.JobPart(256, 255, 1_000, 990, 4, 6, 4_321, 0, 19.6, None)
    there = job_figures.HostFigures("b", "b.example", "alive", 9.0, 1.0, 5, 6, 7, "")
    gone = job_figures.HostFigures(
        "a", "x", "gone", None, 0.0, 985, 4_315, 9, "2027-01-15 08:00:00"
    )
    job = job_figures.JobFigures("universe", 2, 1_800_000_000.0, {"wallets": part}, [gone, there])
    told = words_of(
        dataclasses.replace(NOTHING, night={**night(), "job": job.document()}),
        "The Job and Its Daemons",
    )
    assert "Job universe, round 2, begun 2027-01-15T08:00:00Z" in told
    assert "1 daemon at work now." in told
    lines = [line.split() for line in told.split("\n")]
    assert ["wallets", "255", "of", "256", "990", "1,000", "6", "4,321"] in lines
    assert ["a", "x", "gone", "985", "4,315", "9", "2027-01-15", "08:00:00"] in lines
    assert ["b", "b.example", "alive", "5", "6", "7", "unknown"] in lines


def night(**part: Any) -> dict[str, Any]:
    idle = {"pages": 1, "done": 1, "units": 1, "error": 0, "stalls": 0, "retries": 0}
    budget = {"limit": 100, "window_s": 10.0, "allowed_per_s": 5.0, "sent": 7, "refusals": 2}
    budget |= {"cuts": 1, "violations": 0, "usual_latency_s": 0.1}
    return {
        "started_at": 1.0,
        "took_s": 10.0,
        "now": 11.0,
        "rows": {"external_trades_raw": 20},
        "parts": {"wallets": {**idle, **part}},
        "budgets": {"activity": budget, "clob": {**budget, "refusals": 0, "cuts": 0}},
        "pauses": {"data": {"pauses": 0, "left_s": 0.0}},
        "outcomes": {"activity": {"response": 8, "retry": 2}, "clob": {"response": 5}},
        "source_lag_s": 90.0,
    }


def test_what_was_slow_and_nothing_else() -> None:
    facts = dataclasses.replace(NOTHING, state="finished", night=night(stalls=1))
    assert facts.slowdowns is not None
    assert [(one.where, one.what) for one in facts.slowdowns] == [
        ("wallets", "1 worker stalled"),
        ("activity", "2 requests sent again, 0 responses unreadable"),
        ("activity", "2 refusals, rate cut 1 times, 5.0 of 10.0 requests/s at the end"),
        ("data-api", "1 min 30 s behind the chain at the end"),
    ]


def test_what_was_followed_is_told_with_its_gaps_and_its_lateness() -> None:
    gap = [1_795_949_000, 1_795_949_059]
    followed = {"since": 1, "fresh_to": 1_795_952_037, "lag_s": 700.0, "gaps": [gap]}
    facts = dataclasses.replace(
        NOTHING, state="stopped", night={**night(), "following": followed}, coverage={"parts": []}
    )
    lead = morning_sections._describe_run(facts)
    assert lead.endswith(" It followed up to 2026-11-29 11:33:57 UTC, 1 gap.")
    running = dataclasses.replace(facts, state="running")
    assert "It is following: fresh to 2026-11-29 11:33:57 UTC, lag 11 min 40 s" in (
        morning_sections._describe_run(running)
    )
    (missing,) = morning_sections._missing(facts).lines
    assert missing.startswith(
        "Trades of 2026-11-29T10:43:20Z to 2026-11-29T10:44:19Z were not followed; "
    )
    assert facts.slowdowns is not None
    assert facts.slowdowns[-1] == morning_facts.Slowdown(
        "new trades", "11 min 40 s late at the end"
    )


def test_a_part_of_which_nothing_is_stored_is_missing_all_the_same() -> None:
    """As Polymarket's own figures, which are read last, when the run ends before them."""
    idle = {"pages": 0, "done": 0, "units": 397, "error": 0, "stalls": 0, "retries": 0}
    seen = night()
    seen["parts"] |= {"user-stats": idle, "lookups": idle}
    proven = {"name": "wallets", "keys": 1, "proven": 1, "complete": True, "set_aside": 0}
    proven |= {"unproven": []}
    facts = dataclasses.replace(NOTHING, night=seen, coverage={"parts": [proven]})
    assert morning_sections._describe_proof(facts) == (
        "Proven complete: wallets. Not read: user-stats."
    )
    (line,) = morning_sections._missing(facts).lines
    assert line == "user-stats: 397 of 397 keys, as the run counted them."
    known = {**proven, "name": "user-stats"}
    facts = dataclasses.replace(facts, coverage={"parts": [proven, known]})
    assert morning_sections._describe_proof(facts) == "Every part is proven complete."


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_text_fits(columns: int) -> None:
    facts = dataclasses.replace(
        NOTHING,
        state="crashed",
        night=night(),
        errors=error_causes.group_errors([failed(1, "the host answered something odd " * 9)]),
        now=record(20.0, (f"0x{7:040x}", 1.0)),
    )
    text = morning_text.render_text(
        morning_sections.make_sections(facts),
        title="Morning report, 2026-11-29 07:00 UTC, run main",
        lead=morning_sections.lead(facts),
        columns=columns,
    )
    for line in text.split("\n"):
        assert terminal.cells(line) <= columns, line


def test_fetched_texts_are_no_markup() -> None:
    facts = dataclasses.replace(
        NOTHING,
        errors=error_causes.group_errors([failed(1, HOSTILE)]),
        drift=morning_facts.Drift(1.0, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}, {"a": {HOSTILE: 1}}),
    )
    sections, lead = morning_sections.make_sections(facts), morning_sections.lead(facts)
    page = morning_page.render_page(facts, sections, title="t", lead=lead, version="1")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\x1b" not in morning_text.render_text(sections, title="t", lead=lead)
