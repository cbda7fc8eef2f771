"""The probe before a run: what the run's units stand on, looked at once a day.

What holds is remembered in the data folder, for these hosts and this version. Broken assumptions
that could lose rows hold their kinds of units back; nothing else stops a run.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import msgspec
import structlog

from polybackfill import clocks, errors, settings, worker_progress
from polybackfill.filesystem import files
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints, http
from polybackfill.probe import assumption_list, runner
from polybackfill.probe.assumption import Assumption, Finding, Outcome
from polybackfill.run import api_client, bootstrap, run_request

log = structlog.get_logger()

DAILY, ALWAYS, NEVER = "daily", "always", "never"
_FRESH_S = 86_400.0
_WHOLE = (Outcome.HOLDS, Outcome.UNSEEN)
_FILE = "probe.json"
_REMEDY = "update the program, or see docs/probe.md; set BACKFILL_PROBE=never to run anyway"


@dataclass(frozen=True)
class Preflight:
    """`held_back`: kinds of units that must not be fetched, each with the reason."""

    held_back: Mapping[str, str] = field(default_factory=dict)

    def require_some(self, kinds: Collection[str]) -> None:
        """Raise errors.Stop when nothing of `kinds` is left to fetch."""
        if kinds and all(kind in self.held_back for kind in kinds):
            reasons = "; ".join(dict.fromkeys(self.held_back.values()))
            raise errors.Stop(
                f"the API does not work as this program expects: {reasons}: {_REMEDY}"
            )


class _RememberedFindings(msgspec.Struct):
    """`about`: which hosts and version; `held_at`: when each assumption held, epoch seconds;
    `broken`: what was seen of those that did not.
    """

    about: str = ""
    held_at: dict[str, float] = {}
    broken: dict[str, str] = {}


async def before_run(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    client: http.Client,
    clock: clocks.Clock,
) -> Preflight:
    """Look at what the run stands on, when that is due, and say what does not hold."""
    assumptions = due(chosen, request, clock.now())
    if not assumptions:
        return Preflight()
    log.info("probe.started", assumptions=len(assumptions))
    print("checking whether the API still works as this program expects …", file=sys.stderr)
    findings, requests = await look(assumptions, client, clock)
    findings = with_remembered(chosen, findings)
    remember(chosen, findings, clock.now())
    for assumption, finding in zip(assumptions, findings, strict=True):
        _tell(assumption, finding)
    log.info("probe.ended", requests=requests, **_counts(findings))
    return Preflight(_held_back(assumptions, findings, request.kinds))


async def look(
    assumptions: Sequence[Assumption], client: http.Client, clock: clocks.Clock
) -> tuple[list[Finding], int]:
    """The findings, and how many requests they took. Raises errors.Stop."""

    async def get(route: endpoints.Route, query: Sequence[tuple[str, str]]) -> http.Response:
        return await client.get(route, query, worker_progress.Progress(clock))

    return await runner.look(assumptions, get, clock=clock)


def due(chosen: settings.Settings, request: run_request.RunRequest, now: float) -> list[Assumption]:
    """What is to be looked at before this run."""
    wanted = chosen.backfill.probe
    is_silent = wanted == DAILY and (bootstrap.is_local(chosen) or request.dry_run)
    if wanted == NEVER or is_silent:
        return []
    assumptions = assumption_list.for_kinds(request.kinds)
    if wanted == ALWAYS:
        return assumptions
    memory = _recall(chosen)
    # A moment in the future is one of a clock that was wrong.
    return [
        one
        for one in assumptions
        if not 0 <= now - memory.held_at.get(one.name, -math.inf) < _FRESH_S
    ]


def with_remembered(chosen: settings.Settings, findings: Sequence[Finding]) -> list[Finding]:
    """What was broken and cannot be seen for trouble on the way is taken to be broken still."""
    broken = _recall(chosen).broken
    return [
        replace(
            finding,
            outcome=Outcome.BROKEN,
            seen=f"{broken[finding.name]} (seen before; no answer now)",
        )
        if finding.outcome is Outcome.UNKNOWN and finding.name in broken
        else finding
        for finding in findings
    ]


def remember(chosen: settings.Settings, findings: Sequence[Finding], now: float) -> None:
    """What is not whole is looked at again by the next run, and so is what it may have hidden."""
    memory = _recall(chosen)
    is_whole = all(finding.outcome in _WHOLE for finding in findings)
    for finding in findings:
        memory.held_at.pop(finding.name, None)
        memory.broken.pop(finding.name, None)
        if finding.outcome is Outcome.HOLDS or is_whole:
            memory.held_at[finding.name] = now
        elif finding.outcome is Outcome.BROKEN:
            memory.broken[finding.name] = finding.seen
    try:
        files.write_atomic(_file(chosen), msgspec.json.encode(memory))
    except OSError as problem:
        log.warning("probe.not_remembered", error=str(problem))


def last_findings(chosen: settings.Settings) -> tuple[float | None, dict[str, str]]:
    """When an assumption was last seen to hold, in epoch seconds (None: never), and what was seen
    of those that are broken.
    """
    memory = _recall(chosen)
    return max(memory.held_at.values(), default=None), dict(memory.broken)


def _recall(chosen: settings.Settings) -> _RememberedFindings:
    """What is remembered of these hosts; nothing when the file is missing or damaged."""
    about = _about(chosen)
    try:
        memory = msgspec.json.decode(_file(chosen).read_bytes(), type=_RememberedFindings)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        memory = _RememberedFindings()
    return memory if memory.about == about else _RememberedFindings(about)


def _file(chosen: settings.Settings) -> Path:
    return chosen.backfill.data_dir / _FILE


def _about(chosen: settings.Settings) -> str:
    """The hosts, as a hash since a base URL may hold a secret, and the version."""
    hosts = "\n".join(sorted(url.secret for url in api_client.base_urls(chosen).values()))
    digest = hashlib.blake2b(hosts.encode(), digest_size=8).hexdigest()
    return f"{metadata.version('polybackfill')} {digest}"


def _tell(assumption: Assumption, finding: Finding) -> None:
    """A person reads it on stderr, the log has it as an event."""
    if finding.outcome is Outcome.BROKEN:
        log.warning("probe.broken", assumption=finding.name, seen=finding.seen)
        print(f"warning: {reason_of(assumption, finding)}", file=sys.stderr)
        if not assumption.loses_rows:
            print(f"  it costs time or a figure only ({assumption.needed_for})", file=sys.stderr)
    elif finding.outcome is Outcome.UNKNOWN:
        log.info("probe.unknown", assumption=finding.name, seen=finding.seen)


def reason_of(assumption: Assumption, finding: Finding) -> str:
    """What is broken, in one sentence."""
    return f"{finding.name}: expected {assumption.expected}; seen: {finding.seen}"


def _held_back(
    assumptions: Sequence[Assumption], findings: Sequence[Finding], kinds: Collection[str]
) -> dict[str, str]:
    held_back: dict[str, str] = {}
    for assumption, finding in zip(assumptions, findings, strict=True):
        if finding.outcome is Outcome.BROKEN and assumption.loses_rows:
            for kind in assumption.kinds:
                if kind in kinds:
                    held_back.setdefault(kind, reason_of(assumption, finding))
    # What is followed brings rows of the same form.
    for kind in kinds:
        of_kind = registry.KINDS[kind]
        for upstream in registry.UPSTREAM[kind].ended if of_kind.is_followed else ():
            if upstream in held_back:
                held_back.setdefault(kind, held_back[upstream])
    return held_back


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {
        outcome.value: sum(finding.outcome is outcome for finding in findings)
        for outcome in Outcome
    }
