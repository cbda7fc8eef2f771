"""A full disk ends the run with a clear message, and costs nothing once there is room again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors

FULL = Path(__file__).with_name("full_disk.py")


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size at `folder`."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def enlarge(folder: Path, size: str) -> None:
    """Make room on a small disk."""
    command = ["mount", "-o", f"remount,size={size}", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def _said(ended: harness.Finished) -> str:
    assert "Traceback" not in ended.err, ended.err
    return " ".join(ended.err.split())


@pytest.mark.long
def test_the_checkpoint_cannot_grow(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    ground.set(batch_rows=500, batch_bytes=200_000)  # many small batches, so that one is recorded
    keys = ground.write_keys(sandbox)
    ended = ground.run("run", *keys, driver=FULL)
    ended.expect(errors.EXIT_UNAVAILABLE)
    said = _said(ended)
    assert f"cannot write {ground.checkpoint}: No space left on device" in said
    assert "make room there and start again; nothing recorded so far is lost" in said
    recorded = ground.acknowledged_pages()
    assert recorded > 0
    sandbox.reset()
    ground.run("run", *keys).expect(0)
    ground.prove(sandbox)
    assert sandbox.pages() <= ground.acknowledged_pages() - recorded + 8


# Only root may mount; the test above shows the same to everybody, short of the kernel itself.
if os.geteuid() == 0:

    def test_the_checkpoints_disk_is_full(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
        keys = ground.write_keys(sandbox)
        ground.set(min_free_bytes=0)
        with small_disk(ground.checkpoints, "12k"):
            ended = ground.run("run", *keys)
            ended.expect(errors.EXIT_UNAVAILABLE)
            said = _said(ended)
            assert str(ground.checkpoint) in said
            assert "No space left on device" in said
            assert "make room there and start again" in said
            enlarge(ground.checkpoints, "20m")
            ground.run("run", *keys).expect(0)
            ground.prove(sandbox)

    def test_the_stores_disk_is_full(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
        ground.set(batch_rows=300, min_free_bytes=0)
        keys = ground.write_keys(sandbox)
        with small_disk(ground.data, "2m"):
            ended = ground.run("run", *keys)
            ended.expect(errors.EXIT_UNAVAILABLE)
            said = _said(ended)
            assert str(ground.data) in said
            assert "is full. Free some space and start again" in said
            enlarge(ground.data, "400m")
            ground.run("run", *keys).expect(0)
            ground.prove(sandbox)
            harness.until(lambda: ground.store_pid() is None, "the store's end")

    @pytest.mark.parametrize("which", ["data", pytest.param("checkpoint", marks=pytest.mark.long)])
    def test_a_run_stops_in_order_before_a_disk_is_full(
        ground: harness.Ground, sandbox: harness.Sandbox, which: str
    ) -> None:
        """75, so that a service comes back; and it does not begin before there is room."""
        ground.set(limits=json.dumps({"/v2/activity": 30, "/v2/trades": 30}))
        keys = ground.write_keys(sandbox)
        folder = ground.data if which == "data" else ground.checkpoints
        ground.set(min_free_bytes=50_000_000 if which == "data" else 500_000_000)
        with small_disk(folder, "400m"):
            run = ground.start("run", *keys)
            harness.until(lambda: sandbox.pages() > 8, "pages under way")
            filler = folder / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - 45_000_000)
            ended = run.end(30)
            ended.expect(errors.EXIT_UNAVAILABLE)
            said = _said(ended)
            assert f"the disk of the {which}, {folder}, has" in said
            assert "BACKFILL_MIN_FREE_BYTES" in said
            assert ended.out.startswith("stopped after")
            assert ground.acknowledged_pages() > 0
            again = ground.run("run", *keys)
            again.expect(errors.EXIT_UNAVAILABLE)
            assert "make room there and start again" in _said(again)
            filler.unlink()
            ground.set(limits=harness.NO_LIMITS)
            ground.run("run", *keys).expect(0)
            ground.prove(sandbox)
            harness.until(lambda: ground.store_pid() is None, "the store's end")


def test_what_is_expected_is_held_against_what_is_free(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Before anything is fetched: in `doctor`, in the estimate, and at the start of a run."""
    free = shutil.disk_usage(ground.folder).free
    ground.run("init").expect(0)
    ground.set(min_free_bytes=free - 2_000_000_000)  # of a universe of some hundred gigabytes
    for words in (("doctor",), ("plan", "estimate")):
        said = " ".join(ground.run(*words).out.split())
        assert "are expected and" in said
        assert "a planned list fetches less" in said
    run = ground.start("run")
    harness.until(lambda: "warning: about" in run.err(), "the warning")
    run.signal(signal.SIGTERM)
    run.end().expect(0)
    ground.plan(sandbox)
    assert "the size of the expected rows is unknown" in " ".join(ground.run("doctor").out.split())
    ground.set(min_free_bytes=free * 2)
    doctor = ground.run("doctor")
    doctor.expect(errors.EXIT_UNAVAILABLE)
    assert "WRONG disk" in " ".join(doctor.out.split())
