"""A full disk ends the run with a clear message, and costs nothing once there is room again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests import harness

from polybackfill import errors

FULL = Path(__file__).with_name("full_disk.py")


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


def test_the_checkpoint_cannot_grow(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    ground.set(batch_rows=500, batch_bytes=200_000)  # many small batches, so that one is recorded
    keys = ground.write_keys(sandbox)
    ended = ground.run("run", *keys, driver=FULL)
    ended.expect(errors.EXIT_UNAVAILABLE)
    said = _said(ended)
    assert f"cannot write {ground.ledger}: No space left on device" in said
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
        with small_disk(ground.checkpoints, "12k"):
            ended = ground.run("run", *keys)
            ended.expect(errors.EXIT_UNAVAILABLE)
            said = _said(ended)
            assert str(ground.ledger) in said
            assert "No space left on device" in said
            assert "make room there and start again" in said
            enlarge(ground.checkpoints, "20m")
            ground.run("run", *keys).expect(0)
            ground.prove(sandbox)

    def test_the_stores_disk_is_full(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
        ground.set(batch_rows=300)
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
