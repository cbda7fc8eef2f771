"""One word for how a run stands, whatever can be seen of it from here."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from polybackfill.filesystem import lock
from polybackfill.reports import run_state

NOW = 1_800_000_000.0
HERE = lock.this_process(NOW - 100)
GONE = msgspec.structs.replace(HERE, born="1")
ELSEWHERE = msgspec.structs.replace(HERE, host="other", boot="x", namespace="y")


def picture(owner: lock.Owner, state: str = "running", age_s: float = 1.0) -> dict[str, Any]:
    """What this process wrote of itself so many seconds ago."""
    return {
        "host": owner.host,
        "pid": owner.pid,
        "started_at": owner.started_at,
        "owner": msgspec.to_builtins(owner),
        "state": state,
        "now": NOW - age_s,
    }


UNREADABLE = lock.Owner(host="unknown", pid=0, started_at=0.0)


@pytest.mark.parametrize(
    ("seen", "holder", "name", "is_running"),
    [
        (None, None, "never", False),
        (None, HERE, "starting", True),
        (None, ELSEWHERE, "starting", None),
        (picture(HERE), HERE, "running", True),
        (picture(HERE), None, "running", True),  # the checkpoint folder cannot be read
        (picture(HERE), UNREADABLE, "running", True),
        (picture(HERE, "finishing"), HERE, "finishing", True),
        (picture(HERE, "draining"), HERE, "draining", True),
        (picture(HERE, "finished"), None, "finished", False),
        (picture(HERE, "stopped"), HERE, "stopped", False),  # it lets go of the folder right now
        (picture(HERE, "failed"), None, "failed", False),
        (picture(HERE, age_s=120), HERE, "stalled", True),
        (picture(GONE), None, "crashed", False),
        (picture(GONE, "finishing"), GONE, "crashed", False),
        (picture(GONE, "finished"), HERE, "finished", False),
        (picture(ELSEWHERE), ELSEWHERE, "running", True),
        (picture(ELSEWHERE, age_s=120), ELSEWHERE, "unknown", None),
        (picture(ELSEWHERE, "stopped", 120), None, "stopped", False),
        (picture(HERE, age_s=-50), HERE, "running", True),  # a clock that was ahead
    ],
)
def test_the_state(
    seen: dict[str, Any] | None, holder: lock.Owner | None, name: str, is_running: bool | None
) -> None:
    found = run_state.find_state(seen, holder, now=NOW, starting_s=300)
    assert (found.name, found.is_running) == (name, is_running)
    words = {"stalled": "stalled: process", "unknown": "unknown: process", "starting": "starting"}
    assert words.get(name, "running") in str(found)
    assert "None" not in str(found)
    assert "last never" not in str(found)


def test_a_picture_of_an_older_version_is_judged_by_its_host_and_process() -> None:
    seen = picture(HERE)
    del seen["owner"]
    assert run_state.find_state(seen, None, now=NOW, starting_s=300).name == "running"
