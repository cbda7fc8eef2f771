"""How a run stands, seen from anywhere: by its process, its last picture, and the clock.

Nothing is locked for that and nothing written. Of a process that cannot be seen from here, on
another machine or in a container, the age of its picture is the last word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from polybackfill import formats
from polybackfill.filesystem import lock

FRESH_S = 30.0  # the picture is taken every second; older means that the loop is blocked
_ENDED = frozenset({"finished", "stopped", "failed"})
_SHUT = "other processes of that machine cannot be seen from here"


@dataclass(frozen=True)
class RunState:
    """`name`: what the run says of itself (starting, running, draining, finishing, finished,
    stopped, failed), or never, stalled, crashed, unknown. `is_running`: None when that is unknown.
    """

    name: str
    is_running: bool | None
    owner: lock.Owner | None = None
    age_s: float | None = None

    def __str__(self) -> str:
        if self.name == "starting":
            return f"running: {self.owner}, starting"
        if self.age_s is None:
            gone = self.is_running is False
            return "not running" if gone else f"unknown: {self.owner} was never seen; {_SHUT}"
        seen = f"seen {formats.duration(self.age_s)} ago"
        if self.name == "stalled":
            return f"stalled: {self.owner} is there, but was last {seen}"
        if self.name == "unknown":
            return f"unknown: {self.owner} was last {seen}; {_SHUT}"
        if self.is_running:
            return f"running: {self.owner}, {seen}"
        return f"not running; last {seen}"


def find_state(
    picture: dict[str, Any] | None, holder: lock.Owner | None, *, now: float, starting_s: float
) -> RunState:
    """`holder`: who has the checkpoint folder, as far as can be seen (`lock.holder`); `now`: epoch
    seconds; `starting_s`: how long a run may take to its first picture.
    """
    age_s = None if picture is None else max(0.0, now - picture["now"])
    owner = holder if holder is not None and holder.pid else _owner_of(picture) or holder
    if owner is None:
        return RunState("never" if picture is None else _last(picture), False, None, age_s)
    is_own = picture is not None and picture["pid"] == owner.pid
    alive = lock.is_alive(owner)
    if picture is not None and (alive is False or (is_own and picture["state"] in _ENDED)):
        return RunState(_last(picture), False, owner, age_s)
    if alive is False:
        return RunState("crashed", False, owner)
    if not is_own or picture is None or age_s is None:
        is_new = alive or now - owner.started_at < starting_s
        return RunState("starting" if is_new else "unknown", alive, owner, age_s)
    if age_s < FRESH_S:
        return RunState(picture["state"], True, owner, age_s)
    return RunState("stalled" if alive else "unknown", alive, owner, age_s)


def _last(picture: dict[str, Any]) -> str:
    return str(picture["state"]) if picture["state"] in _ENDED else "crashed"


def _owner_of(picture: dict[str, Any] | None) -> lock.Owner | None:
    """Who drew it; of an older version's picture nothing but host and pid is known."""
    if picture is None:
        return None
    named = picture.get("owner") or {
        name: picture[name] for name in ("host", "pid", "started_at") if name in picture
    }
    try:
        return msgspec.convert(named, lock.Owner)
    except msgspec.ValidationError:
        return None
