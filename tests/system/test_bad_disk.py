"""The disk answers with EIO: a person changes it, or it passes; no row and no unit is to blame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness
from tests.crash import power

from polybackfill import errors


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[power.Disk]:
    if why := power.available():
        pytest.skip(why)
    with power.disk(tmp_path) as made:
        if made is None:
            pytest.skip("no loop device can be mounted here")
        yield made


def _said(ended: harness.Finished) -> str:
    assert "Traceback" not in ended.err, ended.err
    return " ".join(ended.err.split())


@pytest.mark.parametrize("on_it", ["data", pytest.param("checkpoints", marks=pytest.mark.long)])
def test_a_disk_that_fails_amid_a_run(
    on_it: str, disk: power.Disk, ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """75, so that a service comes back, now and at the next start; then all is there."""
    folder = disk.mount / on_it
    if on_it == "data":
        ground.data = folder
        ground.set(data_dir=folder)
    else:
        ground.checkpoints = folder
        ground.set(checkpoint_dir=folder)
    # A few requests a second, so that it fails in the middle.
    ground.set(limits=json.dumps({"/v2/activity": 60, "/v2/trades": 60}))
    ground.set(batch_rows=300, min_free_bytes=0, no_progress_s=6, stall_s=3)
    keys = ground.write_keys(sandbox)
    run = ground.start("run", *keys)
    harness.until(lambda: sandbox.pages() > 8, "pages under way")
    disk.fail()
    ended = run.end(60)
    ended.expect(errors.EXIT_UNAVAILABLE)
    assert "Input/output error" in _said(ended)
    again = ground.run("run", *keys, within_s=60)
    again.expect(errors.EXIT_UNAVAILABLE)
    assert "Input/output error" in _said(again)
    disk.detach()
    disk.attach()
    ground.set(limits=harness.NO_LIMITS)
    ground.run("run", *keys).expect(0)
    ground.prove(sandbox)
    assert ground.sql("SELECT reason, raw FROM quarantine") == []
    assert ground.events("unit.failed") == []
    harness.until(lambda: ground.store_pid() is None, "the store's end")
