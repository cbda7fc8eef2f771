"""Look at assumptions side by side, within an allowance of requests and of time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import structlog

from polybackfill import clocks, errors
from polybackfill.polymarket import http
from polybackfill.probe import samples
from polybackfill.probe.assumption import Assumption, Finding, Outcome
from polybackfill.probe.evidence import (
    Allowance,
    Broken,
    Evidence,
    Refused,
    Unseen,
    note_requests,
    without_url,
)

log = structlog.get_logger()

MAX_REQUESTS = 60
LONGEST_S = 60.0


async def look(
    assumptions: Sequence[Assumption],
    get: http.Get,
    *,
    clock: clocks.Clock,
    longest_s: float = LONGEST_S,
) -> tuple[list[Finding], int]:
    """A finding for each assumption, in their order, and how many requests it took.

    What is broken is looked at once more, with new answers, before it is called so: a single odd
    answer is no change of the API. What has no answer in time is unknown. Raises errors.Stop.
    """
    allowance = Allowance(MAX_REQUESTS)
    evidence, until = Evidence(get, allowance, clock), clock.monotonic() + longest_s
    try:
        findings = await _look(assumptions, evidence, until - clock.monotonic())
    finally:
        await evidence.close()
    doubted = {one.name: one for one in findings if one.outcome is Outcome.BROKEN}
    if not doubted:
        return findings, allowance.used
    evidence = evidence.without({text for one in doubted.values() for text in one.requests})
    try:
        looked_at = [one for one in assumptions if one.name in doubted]
        again = await _look(looked_at, evidence, until - clock.monotonic())
        final = {one.name: _second_look(doubted[one.name], one) for one in again}
        findings = [final.get(finding.name, finding) for finding in findings]
        findings = await _believed(findings, evidence, until - clock.monotonic())
    finally:
        await evidence.close()
    return findings, allowance.used


def _second_look(first: Finding, second: Finding) -> Finding:
    """What two looks say: whoever held once holds; who had no second answer stays doubted."""
    return second if second.outcome in {Outcome.HOLDS, Outcome.BROKEN} else first


async def _believed(
    findings: Sequence[Finding], evidence: Evidence, left_s: float
) -> list[Finding]:
    """Refusals count only of a host that answers something: a gateway in trouble refuses all."""
    hosts = {finding.refused_by for finding in findings if finding.refused_by}
    silent = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(left_s):
            silent = {one for one in hosts if not await samples.answers_something(evidence, one)}
    return [
        replace(finding, outcome=Outcome.UNKNOWN, seen=f"the host refuses all: {finding.seen}")
        if finding.refused_by in silent
        else finding
        for finding in findings
    ]


async def _look(
    assumptions: Sequence[Assumption], evidence: Evidence, left_s: float
) -> list[Finding]:
    return await asyncio.gather(
        *(_finding(assumption, evidence, left_s) for assumption in assumptions)
    )


async def _finding(assumption: Assumption, evidence: Evidence, left_s: float) -> Finding:
    requests, refused_by = note_requests(), ""
    try:
        async with asyncio.timeout(left_s):
            outcome, seen = Outcome.HOLDS, await assumption.check(evidence)
    except Broken as contradiction:
        outcome, seen = Outcome.BROKEN, str(contradiction)
        refused_by = contradiction.host if isinstance(contradiction, Refused) else ""
    except Unseen as missing:
        outcome, seen = Outcome.UNSEEN, str(missing)
    except errors.Retry as trouble:
        outcome, seen = Outcome.UNKNOWN, without_url(trouble)
    except TimeoutError:
        outcome, seen = Outcome.UNKNOWN, "no answer in time"
    except errors.BackfillError:
        raise
    except Exception as fault:
        # An answer that our own code cannot take must not stop a night.
        log.exception("probe.fault", assumption=assumption.name)
        outcome, seen = Outcome.UNKNOWN, f"a fault of this program: {fault!r}"
    return Finding(assumption.name, outcome, seen, tuple(requests), refused_by)
