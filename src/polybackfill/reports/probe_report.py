"""What the probe has seen, for a person at 80 columns and for a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from polybackfill import formats, terminal
from polybackfill.probe.assumption import Assumption, Finding, Outcome

_INDENT = 8
_TEXT_MAX = 2_000  # characters: a request names up to twenty conditions
# The worst stands last, above the prompt.
_ORDER = (Outcome.HOLDS, Outcome.UNSEEN, Outcome.UNKNOWN, Outcome.BROKEN)
_WORDS = {Outcome.BROKEN: "BROKEN"}

Seen = Sequence[tuple[Assumption, Finding]]


def lines(seen: Seen, requests: int, took_s: float, columns: int | None) -> Iterator[str]:
    """Every assumption with what was expected, what was seen, and what stands on it."""
    for outcome in _ORDER:
        for assumption, finding in seen:
            if finding.outcome is outcome:
                yield from _entry(assumption, finding, columns)
    counted = Counter(finding.outcome for _, finding in seen)
    counts = ", ".join(f"{counted[one]} {_word(one)}" for one in _ORDER if counted[one])
    yield (
        f"{formats.counted(len(seen), 'assumption')}: {counts}; "
        f"{formats.counted(requests, 'request')}, {took_s:.1f} s"
    )
    stopped = held_back(seen)
    if stopped:
        yield _wrapped("a run does not fetch: " + ", ".join(stopped), columns)


def document(seen: Seen, requests: int, took_s: float) -> dict[str, Any]:
    """The same for a script."""
    return {
        "requests": requests,
        "seconds": round(took_s, 2),
        "held_back": held_back(seen),
        "assumptions": [_fields(assumption, finding) for assumption, finding in seen],
    }


def held_back(seen: Seen) -> list[str]:
    """The kinds of units that a run must not fetch now."""
    kinds = [
        kind
        for assumption, finding in seen
        if finding.outcome is Outcome.BROKEN and assumption.loses_rows
        for kind in assumption.kinds
    ]
    return list(dict.fromkeys(kinds))


def _fields(assumption: Assumption, finding: Finding) -> dict[str, Any]:
    return {
        "name": assumption.name,
        "verdict": finding.outcome.value,
        "request": assumption.request,
        "expected": assumption.expected,
        "seen": finding.seen,
        "needed_for": assumption.needed_for,
        "kinds": list(assumption.kinds),
        "loses_rows": assumption.loses_rows,
        "requests": list(asdict(finding)["requests"]),
    }


def _entry(assumption: Assumption, finding: Finding, columns: int | None) -> Iterator[str]:
    yield f"{_word(finding.outcome):<{_INDENT}}{assumption.name}"
    needed_for = assumption.needed_for
    if finding.outcome is Outcome.BROKEN:
        stops = ", ".join(assumption.kinds) if assumption.loses_rows else "nothing"
        needed_for += f"; stops: {stops}"
    fields = [("expected", assumption.expected), ("seen", finding.seen), ("for", needed_for)]
    if finding.outcome in {Outcome.BROKEN, Outcome.UNKNOWN}:
        fields.insert(0, ("request", assumption.request))
    for name, text in fields:
        line = f"{'':<{_INDENT}}{name:<10}{terminal.excerpt(text, _TEXT_MAX)}"
        yield _wrapped(line, columns, indent=_INDENT + 10)


def _wrapped(line: str, columns: int | None, indent: int = 0) -> str:
    """A file has no width to keep to: somebody may search it for an expectation."""
    return line if columns is None else terminal.wrapped(line, columns, indent=indent)


def _word(outcome: Outcome) -> str:
    return _WORDS.get(outcome, outcome.value)
