"""The morning report: its facts from store, checkpoint and status file, and its three files."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import orjson

from polybackfill import clocks, redaction, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import set_aside_check
from polybackfill.kinds import registry
from polybackfill.reports import (
    coverage_figures,
    error_causes,
    job_figures,
    morning_facts,
    morning_page,
    morning_sections,
    morning_text,
    night_record,
    report_files,
)
from polybackfill.run import bootstrap, preflight, run_estimate, run_request, run_scope
from polybackfill.store import client, job_tables

FILE = "MORNING_REPORT.txt"
BESIDE = (".html", ".json")

# Of a machine, not of a night; a report is passed on.
_LEFT_OUT = frozenset({"owner", "paths", "host", "pid"})


@dataclasses.dataclass(frozen=True)
class LastRun:
    """The run that the report is about. `state`: a name of `run_state.RunState`; `picture`: its
    last one; `request`: what it was asked for, which is what the next one will be asked for.
    """

    state: str
    picture: dict[str, Any] | None
    request: run_request.RunRequest

    @property
    def started_at(self) -> float:
        """Epoch seconds; 0 when no run has left a picture."""
        return float(self.picture["started_at"]) if self.picture else 0.0


@dataclasses.dataclass(frozen=True)
class MorningReport:
    """The finished report: its facts, and what is shown of them."""

    facts: morning_facts.MorningFacts

    @property
    def title(self) -> str:
        """With the day and the run."""
        at = datetime.fromtimestamp(self.facts.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"Morning report, {at}, run {self.facts.run}"

    @property
    def lead(self) -> str:
        """The report in a few sentences."""
        return morning_sections.lead(self.facts)

    @property
    def is_sound(self) -> bool:
        """What is stored was read, the union holds it, and no trade is stored twice."""
        figures = self.facts.coverage
        return (
            figures is not None and figures["union"]["holds"] and not figures["duplicates"]["ids"]
        )

    def text(self, columns: int = morning_text.COLUMNS) -> str:
        """As plain text in so many columns."""
        sections = morning_sections.make_sections(self.facts)
        return morning_text.render_text(sections, title=self.title, lead=self.lead, columns=columns)

    def document(self) -> dict[str, Any]:
        """For scripts. Unknown is null."""
        facts = self.facts
        document: dict[str, Any] = msgspec.to_builtins(dataclasses.asdict(facts), enc_hook=str)
        causes = [cause.fields() for cause in facts.errors or ()]
        slowdowns = facts.slowdowns
        return {
            "lead": self.lead,
            **document,
            "errors": None if facts.errors is None else causes,
            "slowdowns": slowdowns and [dataclasses.asdict(one) for one in slowdowns],
        }

    def write(self, text_file: Path) -> list[Path]:
        """Write text, page and JSON side by side; the files. Raises errors.Stop."""
        sections = morning_sections.make_sections(self.facts)
        page = morning_page.render_page(
            self.facts,
            sections,
            title=self.title,
            lead=self.lead,
            version=metadata.version("polybackfill"),
        )
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        contents = {
            text_file: self.text(),
            text_file.with_suffix(".html"): page,
            text_file.with_suffix(".json"): orjson.dumps(self.document(), option=option).decode(),
        }
        report_files.write_all({file: redaction.redact(one) for file, one in contents.items()})
        return list(contents)


async def read_report(
    chosen: settings.Settings,
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint | None,
    last_run: LastRun,
    *,
    coverage: coverage_figures.CoverageFigures | None = None,
) -> MorningReport:
    """The report as things stand. `coverage`: the figures of the coverage report where they were
    read just now. Raises what the store raises.
    """
    figures = coverage or await coverage_figures.read(store, checkpoint)
    request = dataclasses.replace(last_run.request, stop_at=None)
    request, _ = await run_scope.choose_scope(store, request)
    clock = clocks.SystemClock()
    job = await job_figures.read(store, job_tables.JobTables(store, clock), chosen.backfill.job)
    hosts = max(1, len(job.hosts)) if job is not None else 1
    tonight, _ = await run_estimate.make_estimate(
        store, request, bootstrap.budgets(chosen), chosen.backfill, hosts=hosts
    )
    at = clock.now()
    facts = _facts_without_store(chosen, checkpoint, last_run, at)
    return MorningReport(
        dataclasses.replace(
            facts,
            night=_with_job(facts.night, job),
            coverage=figures,
            set_aside=await set_aside_check.by_reason(store),
            tonight=tonight,
            now=night_record.NightRecord(
                started_at=last_run.started_at,
                at=at,
                rows={_table_of(part["name"]): part["stored"] for part in figures["parts"]},
                wallets=figures["totals"]["wallets_with_external"],
                markets=figures["markets"]["markets"] - figures["markets"]["internal_only"],
                leaders=await night_record.read_leaders(store),
            ),
        )
    )


async def make_report(
    chosen: settings.Settings,
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint,
    last_run: LastRun,
    *,
    coverage: coverage_figures.CoverageFigures | None,
) -> Path:
    """As `report morning`, at the end of a run: the page. Raises errors.Stop and Retry."""
    report = await read_report(chosen, store, checkpoint, last_run, coverage=coverage)
    text_file = chosen.backfill.data_dir / FILE
    write_report(chosen, report, text_file)
    return text_file.with_suffix(".html")


def read_without_store(
    chosen: settings.Settings,
    checkpoint: run_checkpoint.Checkpoint | None,
    last_run: LastRun,
    trouble: str,
) -> MorningReport:
    """What the files of the run say while the store cannot be read, for the reason `trouble`."""
    facts = _facts_without_store(chosen, checkpoint, last_run, clocks.SystemClock().now())
    return MorningReport(dataclasses.replace(facts, store_trouble=trouble))


def write_report(chosen: settings.Settings, report: MorningReport, text_file: Path) -> list[Path]:
    """Write the files, and keep what the next night is compared with. Raises errors.Stop."""
    written = report.write(text_file)
    if report.facts.now is not None:
        night_record.keep(_record_file(chosen), report.facts.now)
    return written


def _facts_without_store(
    chosen: settings.Settings,
    checkpoint: run_checkpoint.Checkpoint | None,
    last_run: LastRun,
    at: float,
) -> morning_facts.MorningFacts:
    picture = last_run.picture
    night = picture and {name: picture[name] for name in picture if name not in _LEFT_OUT}
    checked_at, broken = preflight.last_findings(chosen)
    parts = (picture or {}).get("parts", {})
    return morning_facts.MorningFacts(
        at=at,
        run=chosen.backfill.run_name,
        state=last_run.state,
        night=night,
        coverage=None,
        store_trouble="",
        errors=None if checkpoint is None else error_causes.group_errors(checkpoint.failed_units()),
        set_aside=None,
        drift=morning_facts.Drift(
            checked_at=checked_at,
            broken=broken,
            held_back=(picture or {}).get("held_back", {}),
            unknown_fields={
                kind: fields for kind, part in parts.items() if (fields := part["unknown_fields"])
            },
        ),
        now=None,
        before=night_record.read_before(_record_file(chosen), last_run.started_at),
        tonight=None,
    )


def _with_job(
    night: dict[str, Any] | None, job: job_figures.JobFigures | None
) -> dict[str, Any] | None:
    """The picture with the whole of its job in the place of what one daemon knew of it."""
    return night and {**night, "job": None if job is None else job.document()}


def _table_of(part: str) -> str:
    """The table that a part fills. Wallets and conditions fill one and the same."""
    return registry.PARTS[part][0].tables[0].shown


def _record_file(chosen: settings.Settings) -> Path:
    return chosen.backfill.data_dir / night_record.FILE
