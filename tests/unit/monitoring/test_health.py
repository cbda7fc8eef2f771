"""Ready, live, stalled, crashed: by the facts of a run."""

from __future__ import annotations

import pytest
from tests.unit.monitoring import conftest

from polybackfill.monitoring import health, run_facts


def judge(**changed: object) -> health.Health:
    return health.judge_health(run_facts.read_facts(conftest.picture(**changed)), stall_s=120.0)


def test_a_run_that_starts_is_live_and_not_ready() -> None:
    state = health.judge_health(None, stall_s=120.0)
    assert (state.state, state.live, state.ready) == ("starting", True, False)


@pytest.mark.parametrize(
    ("changed", "ready", "live", "stalled", "crashed"),
    [
        ({}, True, True, False, False),
        ({"still_s": 149.0}, True, True, False, False),
        ({"still_s": 150.0}, False, False, True, False),
        ({"still_s": 900.0, "waiting_for": "the store"}, True, True, False, False),
        ({"still_s": 900.0, "state": "finishing"}, True, True, False, False),
        ({"state": "draining"}, False, True, False, False),
        ({"state": "finished"}, False, True, False, False),
        ({"state": "stopped"}, False, True, False, False),
        ({"state": "failed"}, False, False, False, True),
    ],
)
def test_states(
    changed: dict[str, object], ready: bool, live: bool, stalled: bool, crashed: bool
) -> None:
    state = judge(**changed)
    assert (state.ready, state.live) == (ready, live)
    assert (state.stalled, state.crashed) == (stalled, crashed)
