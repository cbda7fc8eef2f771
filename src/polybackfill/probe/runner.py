"""Look at assumptions side by side, within an allowance of requests and of time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from polybackfill import clock as clocks
from polybackfill import errors
from polybackfill.polymarket import replies
from polybackfill.probe.assumption import Assumption, Finding, Verdict
from polybackfill.probe.evidence import Allowance, Broken, Evidence, Unseen, note_requests

log = structlog.get_logger()

MAX_REQUESTS = 60
LONGEST_S = 60.0


async def look(
    assumptions: Sequence[Assumption],
    get: replies.Get,
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
        doubted = [one for one in findings if one.verdict is Verdict.BROKEN]
        if doubted:
            evidence = evidence.without({text for one in doubted for text in one.requests})
            names = {one.name for one in doubted}
            looked_at = [one for one in assumptions if one.name in names]
            again = await _look(looked_at, evidence, until - clock.monotonic())
            cleared = {one.name: one for one in again if one.verdict is Verdict.HOLDS}
            findings = [cleared.get(finding.name, finding) for finding in findings]
    finally:
        await evidence.close()
    return findings, allowance.used


async def _look(
    assumptions: Sequence[Assumption], evidence: Evidence, left_s: float
) -> list[Finding]:
    return await asyncio.gather(
        *(_finding(assumption, evidence, left_s) for assumption in assumptions)
    )


async def _finding(assumption: Assumption, evidence: Evidence, left_s: float) -> Finding:
    requests = note_requests()
    try:
        async with asyncio.timeout(left_s):
            verdict, seen = Verdict.HOLDS, await assumption.check(evidence)
    except Broken as contradiction:
        verdict, seen = Verdict.BROKEN, str(contradiction)
    except Unseen as missing:
        verdict, seen = Verdict.UNSEEN, str(missing)
    except errors.Retry as trouble:
        verdict, seen = Verdict.UNKNOWN, str(trouble)
    except TimeoutError:
        verdict, seen = Verdict.UNKNOWN, "no answer in time"
    except errors.BackfillError:
        raise
    except Exception as fault:
        # An answer that our own code cannot take must not stop a night.
        log.exception("probe.fault", assumption=assumption.name)
        verdict, seen = Verdict.UNKNOWN, f"a fault of this program: {fault!r}"
    return Finding(assumption.name, verdict, seen, tuple(requests))
