"""A kill between any two steps of the work loses nothing and doubles nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests import harness
from tests.crash import stepkill

DRIVER = Path(stepkill.__file__)
# The first call, and one in the middle of the run.
CALLS = {
    "fetched": (1, 30),
    "parsed": (1, 30),
    "batched": (1, 5),
    "sent": (1, 5),
    "acknowledged": (1, 5),
    "written": (2, 20),
    "taken": (1, 25),
}


@pytest.mark.parametrize("step", stepkill.STEPS)
def test_killed_between_two_steps(
    step: str, ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    ground.set(batch_rows=300)
    keys = ground.write_keys(sandbox)
    for call in CALLS[step]:
        killed = ground.run(step, str(call), "run", *keys, driver=DRIVER)
        killed.expect(-signal.SIGKILL)
        assert ground.duplicates() == 0
    ended = ground.run("run", *keys)
    ended.expect(0)
    ground.prove(sandbox)
