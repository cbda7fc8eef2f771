"""When a run alerts: nothing moves, many units fail, a disk fills, the source has changed, the end.

A rule speaks once when its condition begins to hold, and again only after it has ceased to, or
with another title: a second change of the API is told, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polybackfill import errors, formats
from polybackfill.monitoring import alert, run_facts

_HOUR_S = 3_600.0
_DRIFT_REPEAT_S = 7 * 24 * _HOUR_S  # each night finds the same change again
_LOW_OF_BOUND = 2.0  # a disk is low while this many times the room at which a run stops is free


@dataclass(frozen=True)
class Thresholds:
    """`stall_s`: nothing moved for so long; `units_in_error`: so many more than at the start."""

    stall_s: float
    units_in_error: int


class AlertRules:
    """The rules of one run, asked with each of its facts."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._errors_before: int | None = None
        self._raised: dict[str, set[str]] = {}  # keys by rule, as long as it holds

    def check(self, facts: run_facts.RunFacts) -> list[alert.Alert]:
        """The alerts that became due with these facts."""
        if self._errors_before is None:
            self._errors_before = facts.units_in_error
        rules: tuple[Callable[[run_facts.RunFacts], alert.Alert | None], ...] = (
            self._check_stall,
            self._check_errors,
            _check_disk,
            _check_drift,
        )
        due = []
        for rule in rules:
            raised = rule(facts)
            name = rule.__name__
            if raised is None:
                self._raised.pop(name, None)
            elif raised.key not in (keys := self._raised.setdefault(name, set())):
                keys.add(raised.key)
                due.append(raised)
        return due

    def _check_stall(self, facts: run_facts.RunFacts) -> alert.Alert | None:
        if facts.state != "running" or facts.still_s < self._thresholds.stall_s:
            return None
        why = (
            f"It waits for {facts.waiting_for}." if facts.waiting_for else "Nothing is waited for."
        )
        return alert.Alert(
            "stall",
            alert.Severity.CRITICAL,
            f"no progress for {formats.duration(self._thresholds.stall_s)}",
            f"{why} Look: polybackfill status. It goes on by itself when that ends.",
            repeat_s=_HOUR_S,
        )

    def _check_errors(self, facts: run_facts.RunFacts) -> alert.Alert | None:
        new = facts.units_in_error - (self._errors_before or 0)
        if new < self._thresholds.units_in_error:
            return None
        parts = ", ".join(
            f"{kind} {part.error:,}" for kind, part in facts.parts.items() if part.error
        )
        return alert.Alert(
            "errors",
            alert.Severity.WARNING,
            f"at least {formats.counted(self._thresholds.units_in_error, 'unit')} in error",
            f"In error now: {parts}. Why: polybackfill plan show. Again: polybackfill plan reset "
            "--errors.",
            repeat_s=_HOUR_S,
        )


def _check_disk(facts: run_facts.RunFacts) -> alert.Alert | None:
    disks = facts.machine.disks if facts.machine is not None else {}
    low = [
        f"{name}: {formats.size(disk.free_bytes)} free; a run stops below "
        f"{formats.size(disk.stop_below_bytes)}"
        for name, disk in disks.items()
        if disk.free_bytes < _LOW_OF_BOUND * disk.stop_below_bytes
    ]
    if not low:
        return None
    return alert.Alert(
        "disk",
        alert.Severity.CRITICAL,
        "little room on a disk",
        f"{'; '.join(low)}. Make room there; nothing acknowledged is lost.",
        repeat_s=_HOUR_S,
    )


def _check_drift(facts: run_facts.RunFacts) -> alert.Alert | None:
    """What is new is named in the title, so that each change is told once and no second time."""
    held_back = sorted(facts.held_back)
    fields = sorted({name for part in facts.parts.values() for name in part.unknown_fields})
    changes = [f"held back: {', '.join(held_back)}"] if held_back else []
    changes += [f"unknown fields: {', '.join(fields)}"] if fields else []
    if not changes:
        return None
    return alert.Alert(
        "drift",
        alert.Severity.WARNING if held_back else alert.Severity.INFO,
        f"the API has changed ({'; '.join(changes)})",
        "What is held back is not fetched, the rest is. More: polybackfill doctor --probe, "
        "docs/probe.md.",
        repeat_s=_DRIFT_REPEAT_S,
    )


def describe_end(document: Mapping[str, Any], exit_code: int, lines: Sequence[str]) -> alert.Alert:
    """The alert of a run that came to its end. `document`, `lines`: of its summary."""
    state = str(document.get("state", "ended"))
    severity = alert.Severity.INFO if exit_code == errors.EXIT_OK else alert.Severity.WARNING
    title = state if exit_code == errors.EXIT_OK else f"{state}, exit code {exit_code}"
    return alert.Alert("end", severity, title, "\n".join(lines))


def describe_failure(error: BaseException) -> alert.Alert:
    """The alert of a run that an error has ended; the same one is not told with each restart."""
    on_purpose = isinstance(error, errors.BackfillError)
    text = str(error) if on_purpose else repr(error)
    reason = text.partition(":")[0] if on_purpose else type(error).__name__
    return alert.Alert(
        "end",
        alert.Severity.CRITICAL,
        f"{'failed' if on_purpose else 'crashed'}: {reason[:100]}",
        text if on_purpose else f"{text}. This is a fault of the program; its log has the trace.",
        repeat_s=_HOUR_S,
    )


def is_good_day(facts: run_facts.RunFacts, newly_set_aside: int) -> bool:
    """Of a run that follows: it is fresh, without a gap, and all of what it read is stored."""
    followed = facts.following
    if followed is None or followed.gap_s or followed.lag_s >= _HOUR_S / 6:
        return False
    return not (facts.units_in_error or newly_set_aside or facts.held_back)


def is_good_night(document: Mapping[str, Any], exit_code: int) -> bool:
    """Everything is proven, or all that was fetched until the time that `--until` had set.

    A run that a signal has stopped is none, and neither is one that stood still at the end.
    """
    if exit_code != errors.EXIT_OK:
        return False
    if document.get("state") == "finished":
        return True
    stop_at = document.get("stop_at")
    if document.get("state") != "stopped" or not stop_at or document["now"] < stop_at:
        return False
    facts = run_facts.read_facts(document)
    is_clean = not (facts.units_in_error or facts.set_aside_rows or facts.held_back)
    return is_clean and facts.still_s < _HOUR_S / 6
