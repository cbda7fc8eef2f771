"""A part that a person has paused is no stall, as long as nothing else is under way."""

from __future__ import annotations

import types
from typing import Any, cast

import pytest
from tests import virtual_clock

from polybackfill import errors
from polybackfill.engine import progress_watch


def pool(*, idle: bool) -> Any:
    """A pool that makes no progress."""
    queue = types.SimpleNamespace(stats=lambda: {"error": 0})
    return types.SimpleNamespace(marks=0, idle=idle, queue=queue, waits=list)


def watch(clock: virtual_clock.VirtualClock, paused: str | None, *, idle: bool) -> Any:
    writer = types.SimpleNamespace(inserts=0, progress=types.SimpleNamespace(wait_reason=None))
    return progress_watch.ProgressWatch(
        [pool(idle=idle)],
        cast(Any, writer),
        outage=lambda: None,
        paused=lambda: paused,
        no_progress_s=60.0,
        clock=clock,
    )


def test_a_paused_run_waits_without_end() -> None:
    clock = virtual_clock.VirtualClock()
    watched = watch(clock, "a person, who has paused wallets", idle=True)
    for _ in range(10):
        clock.pass_by(50.0)
        assert watched.check()
    assert watched.stalled_s == 0.0
    assert watched.waiting_for == "a person, who has paused wallets"


@pytest.mark.parametrize(("paused", "idle"), [(None, True), ("a person", False)])
def test_what_nobody_paused_must_go_on(paused: str | None, idle: bool) -> None:
    clock = virtual_clock.VirtualClock()
    watched = watch(clock, paused, idle=idle)
    watched.check()
    clock.pass_by(61.0)
    with pytest.raises(errors.Stop, match="no progress for 61 s"):
        watched.check()
