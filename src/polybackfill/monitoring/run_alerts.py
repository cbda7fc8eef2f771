"""The alerts of one run: what its rules say, as far as it is new, to whom the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polybackfill import clocks, redaction
from polybackfill.monitoring import (
    alert,
    alert_forms,
    alert_history,
    alert_rules,
    alert_sender,
    run_facts,
)


@dataclass(frozen=True)
class AlertTargets:
    """Where alerts go, and what is called after a good night. `form`: of `alert_forms`, or auto."""

    alert_url: redaction.Url | None
    form: str
    ping_url: redaction.Url | None


class RunAlerts:
    """Raises alerts; nothing here waits, and none of it can end a run."""

    def __init__(
        self,
        run_name: str,
        targets: AlertTargets,
        *,
        rules: alert_rules.AlertRules,
        history: alert_history.AlertHistory,
        sender: alert_sender.AlertSender,
        clock: clocks.Clock,
    ) -> None:
        self._run_name = run_name
        self._targets = targets
        self._rules = rules
        self._history = history
        self._sender = sender
        self._clock = clock
        self._set_aside = 0

    def check(self, facts: run_facts.RunFacts) -> None:
        """Raise what became due with these facts."""
        for due in self._rules.check(facts):
            self._raise(due)

    def note_end(self, document: Mapping[str, Any], exit_code: int, lines: Sequence[str]) -> None:
        """The run came to its end; its summary says how."""
        self._raise(alert_rules.describe_end(document, exit_code, lines))
        if self._targets.ping_url and alert_rules.is_good_night(document, exit_code):
            self._sender.call(self._targets.ping_url)

    def note_day(self, facts: run_facts.RunFacts) -> None:
        """A run that follows has made the reports of a day: that it is well is told as a good
        night is.
        """
        newly_set_aside = facts.set_aside_rows - self._set_aside
        self._set_aside = facts.set_aside_rows
        if self._targets.ping_url and alert_rules.is_good_day(facts, newly_set_aside):
            self._sender.call(self._targets.ping_url)

    def note_failure(self, error: BaseException) -> None:
        """An error has ended the run."""
        self._raise(alert_rules.describe_failure(error))

    async def close(self, within_s: float) -> None:
        """Send what still waits, for so long at most."""
        await self._sender.close(within_s)

    def _raise(self, raised: alert.Alert) -> None:
        url, now = self._targets.alert_url, self._clock.now()
        if url is None or not self._history.is_due(raised, now):
            return
        self._history.note(raised, now)
        form = self._targets.form
        form = alert_forms.find_form(url) if form == "auto" else form
        request = alert_forms.build_request(url, form, self._run_name, raised)
        self._sender.post(redaction.Url(request.url), request.document)
