"""One owner for one checkpoint folder."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors

pytestmark = pytest.mark.timeout(300)  # whole runs on a busy machine; each wait has its own end


def _hold_up(sandbox: harness.Sandbox) -> None:
    """Nothing is answered after the first 30 requests, until the faults are taken away."""
    sandbox.faults({"kind": "hang", "route": "data", "after": 30})


def test_a_second_daemon_leaves_at_once_and_names_the_first(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    _hold_up(sandbox)
    keys = ground.write_keys(sandbox)
    first = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() >= 20, "the first daemon at work")
    second = ground.run("run", *keys, within_s=30)
    second.expect(errors.EXIT_UNAVAILABLE)
    assert socket.gethostname() in second.err
    assert str(first.pid) in second.err
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", second.err)
    sandbox.faults()
    ended = first.end()
    ended.expect(0)
    ground.prove(sandbox)


@pytest.mark.long
def test_a_killed_owner_is_no_owner(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    _hold_up(sandbox)
    keys = ground.write_keys(sandbox)
    first = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() >= 20, "the first daemon at work")
    os.kill(first.pid, signal.SIGKILL)
    sandbox.faults()
    ended = ground.run("run", *keys)
    ended.expect(0)
    ground.prove(sandbox)


@pytest.mark.long
def test_another_run_name_does_not_open_the_same_store_to_a_second_run(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    _hold_up(sandbox)
    keys = ground.write_keys(sandbox)
    first = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() >= 20, "the first daemon at work")
    second = ground.run("run", *keys, "--run-name", "other", within_s=30)
    second.expect(errors.EXIT_UNAVAILABLE)
    assert f"process {first.pid} on {socket.gethostname()}" in second.err
    assert "run main" in second.err
    for reading in (("status",), ("sql", "SELECT 1"), ("check", "plan")):
        ground.run(*reading).expect(0, errors.EXIT_UNITS_IN_ERROR)
    sandbox.faults()
    first.end().expect(0)
    ground.run("run", *keys, "--run-name", "other").expect(0)
    ground.prove(sandbox)


def test_another_checkpoint_folder_neither_and_a_killed_owner_is_no_owner(
    ground: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    _hold_up(sandbox)
    keys = ground.write_keys(sandbox)
    first = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() >= 20, "the first daemon at work")
    ground.set(checkpoint_dir=tmp_path / "elsewhere")
    second = ground.run("run", *keys, within_s=30)
    second.expect(errors.EXIT_UNAVAILABLE)
    assert str(first.pid) in second.err
    first.kill()
    sandbox.faults()
    ground.run("run", *keys).expect(0)
    ground.prove(sandbox)


def test_runs_with_stores_of_their_own_share_the_limits_of_the_address_or_one_is_refused(
    ground: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    _hold_up(sandbox)
    keys = ground.write_keys(sandbox)
    first = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() >= 20, "the first daemon at work")
    (tmp_path / "other").mkdir()
    with harness.ground(tmp_path / "other", sandbox.url) as other:
        told = other.run("run", *keys, within_s=30)
        told.expect(errors.EXIT_UNAVAILABLE)
        assert f"a run spends the limits of this address (process {first.pid}" in told.err
        assert "BACKFILL_SHARE" in told.err
        other.run("run", *keys, "--dry-run", within_s=30).expect(errors.EXIT_UNAVAILABLE)
        first.kill()
        sandbox.faults()
        both = []
        for one, share in ((ground, 0.7), (other, 0.3)):
            one.set(share=share)
            both.append(one.start("run", *keys))
        for daemon in both:
            daemon.end().expect(0)
        other.prove(sandbox)
    ground.prove(sandbox)
