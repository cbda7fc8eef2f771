"""What a check of `validate` finds, and what it may look at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from polybackfill.checkpoint import run_checkpoint
from polybackfill.polymarket import http
from polybackfill.store import client

Outcome = Literal["passed", "failed", "skipped"]
EXAMPLES = 5


@dataclass(frozen=True)
class CheckResult:
    """One check. `claim`: what must hold; `evidence`: counts by name; `examples`: rows that break
    the claim, a few; `advice`: what to do about it, or why the check was skipped.
    """

    name: str
    claim: str
    outcome: Outcome
    evidence: dict[str, Any] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    advice: str = ""


@dataclass(frozen=True)
class CheckContext:
    """What the checks look at.

    `checkpoint`: None when there is none yet; `get`: asks the API, None when it must not be asked,
    for the reason in `silent`; `sample`: how many wallets are compared with the API.
    """

    store: client.Store
    checkpoint: run_checkpoint.Checkpoint | None
    get: http.Get | None = None
    sample: int = 20
    silent: str = ""


Check = Callable[[CheckContext], Awaitable[CheckResult]]


def pass_or_fail(
    name: str,
    claim: str,
    *,
    holds: bool,
    evidence: dict[str, Any],
    examples: list[dict[str, Any]] | None = None,
    advice: str = "",
) -> CheckResult:
    """Passed or failed; the advice is only for those that failed."""
    outcome: Outcome = "passed" if holds else "failed"
    return CheckResult(name, claim, outcome, evidence, examples or [], "" if holds else advice)
