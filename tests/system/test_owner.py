"""One owner for one checkpoint folder."""

from __future__ import annotations

import os
import re
import signal
import socket

from tests import harness

from polybackfill import errors


def _hold_up(sandbox: harness.Sandbox) -> None:
    """Every request waits 3 s, after the first 30."""
    sandbox.faults(
        {"kind": "429_json", "route": "data", "after": 30, "count": 1, "retry_after_s": 3}
    )


def test_a_second_daemon_leaves_at_once_and_names_the_first(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    _hold_up(sandbox)
    keys = ground.write_keys(sandbox)
    first = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() >= 20, "the first daemon at work")
    second = ground.run("run", *keys, within_s=5)
    second.expect(errors.EXIT_UNAVAILABLE)
    assert socket.gethostname() in second.err
    assert str(first.pid) in second.err
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", second.err)
    ended = first.end()
    ended.expect(0)
    ground.prove(sandbox)


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


def test_two_runs_of_different_names_share_a_data_folder(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    keys = ground.write_keys(sandbox)
    both = [ground.start("run", *keys, "--run-name", name) for name in ("main", "other")]
    for daemon in both:
        ended = daemon.end()
        ended.expect(0)
    ground.prove(sandbox)
