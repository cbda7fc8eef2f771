"""One thing the program takes for granted about the API, and how it looks today."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from polybackfill.probe import evidence

Check = Callable[[evidence.Evidence], Awaitable[str]]


class Outcome(StrEnum):
    """What a look at an assumption can say.

    UNSEEN: the API showed nothing on which it could be seen. UNKNOWN: no answer came.
    """

    HOLDS = "holds"
    BROKEN = "broken"
    UNSEEN = "unseen"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Assumption:
    """An entry of the list.

    `request`: what is asked, in short. `expected`: what the answer must show. `needed_for`: what in
    the program stands on it. `kinds`: the kinds of units that do. `loses_rows`: while it is broken
    these kinds could lose or spoil rows, so they must not be fetched; otherwise it costs time or a
    figure, and is only reported. `check` returns what was seen, or raises what `evidence` defines.
    """

    name: str
    request: str
    expected: str
    needed_for: str
    kinds: tuple[str, ...]
    loses_rows: bool
    check: Check = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """What a look at one assumption has shown.

    `requests`: what was asked for it. `refused_by`: the host whose refusal is all that was seen.
    """

    name: str
    outcome: Outcome
    seen: str
    requests: tuple[str, ...] = ()
    refused_by: str = ""
