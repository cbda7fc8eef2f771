"""`polybackfill doctor --probe`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from polybackfill import clocks, errors, settings, terminal
from polybackfill.probe import assumption_list
from polybackfill.reports import probe_report
from polybackfill.run import api_client, preflight

_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Probed:
    """What was seen, as lines and as a document.

    `exit_code`: 3 when a run would hold kinds of units back.
    """

    lines: list[str]
    document: dict[str, Any]
    exit_code: int


async def look(chosen: settings.Settings) -> Probed:
    """The whole list. Beside a run nothing is asked: it spends the limits of this address."""
    if holder := api_client.limit_holder(chosen):
        text = f"the API was not checked: {holder}"
        return Probed([text], {"not_asked": holder}, errors.EXIT_OK)
    clock = clocks.SystemClock()
    began = clock.monotonic()
    async with api_client.open_client(chosen, clock, deadline_s=_DEADLINE_S) as client:
        try:
            findings, requests = await preflight.look(assumption_list.ASSUMPTIONS, client, clock)
        except errors.Stop as refusal:  # this region is not served
            return Probed([str(refusal)], {"not_asked": str(refusal)}, refusal.exit_code)
    took_s = clock.monotonic() - began
    seen = list(zip(assumption_list.ASSUMPTIONS, findings, strict=True))
    columns = terminal.width(sys.stdout)
    return Probed(
        list(probe_report.lines(seen, requests, took_s, columns)),
        probe_report.document(seen, requests, took_s),
        errors.EXIT_UNITS_IN_ERROR if probe_report.held_back(seen) else errors.EXIT_OK,
    )
