"""The files of a checkpoint, byte for byte: `written_before` was written by an earlier version."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import virtual_clock

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint

BEFORE = Path(__file__).parent / "written_before"
DONE = units.Unit(units.WALLETS, ("a" * 40,))
FAILED = units.Unit(units.WALLETS, ("b" * 40,), since=5, until=9)
BATCH = units.Unit(units.CONDITIONS, ("c1", "c2", "c3"), expected_rows=None)
FORGOTTEN = units.Unit(units.WALLETS, ("d" * 40,), expected_rows=7)
PAGE = units.Counts(rows=10, pages=1, rejected=1, first_second=50, last_second=90)
END = units.FeedEnd(second=100, lag_s=2.5, confirmed=True)


def open_checkpoint(folder: Path) -> run_checkpoint.Checkpoint:
    clock = virtual_clock.StoppedClock(1_790_000_000.0)
    return run_checkpoint.Checkpoint.open(folder, store_id="store-1", clock=clock)


async def write_every_line(folder: Path) -> None:
    """A segment, a state that is not empty, and a journal with one line of every event."""
    checkpoint = open_checkpoint(folder)
    for unit in (DONE, FORGOTTEN):
        checkpoint.finish(unit.id, checkpoint.begin(unit), PAGE, END)
    checkpoint.fail(FAILED.id, checkpoint.begin(FAILED), "HTTP 400: «no»", passing=True)
    checkpoint.begin(BATCH)
    await checkpoint.fold()
    checkpoint.close()
    checkpoint = open_checkpoint(folder)  # which notes that BATCH was interrupted
    attempt = checkpoint.begin(BATCH)
    checkpoint.advance(BATCH.id, attempt, {"cursor": "opaque", "second": 50}, PAGE)
    checkpoint.restart(BATCH.id, attempt)
    checkpoint.give_back(BATCH.id, attempt, counted=True, not_before=1.5, error="HTTP 503")
    halves = checkpoint.split(BATCH.id, attempt)
    assert halves is not None
    checkpoint.finish(halves[0].id, checkpoint.begin(halves[0]), PAGE)
    checkpoint.fail(halves[1].id, checkpoint.begin(halves[1]), "no attempt left")
    checkpoint.reopen(FAILED.id)
    checkpoint.forget(units.WALLETS, FORGOTTEN.keys)
    checkpoint.note_plan_synced(2)
    await checkpoint.sync()
    checkpoint.close()


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_the_same_events_are_written_in_the_same_bytes(tmp_path: Path) -> None:
    await write_every_line(tmp_path)
    assert content_of(tmp_path) == content_of(BEFORE)


async def test_a_checkpoint_of_before_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(BEFORE, folder)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.is_done(DONE.kind, DONE.keys[0])
    assert not checkpoint.is_done(FORGOTTEN.kind, FORGOTTEN.keys[0])
    assert checkpoint.failed_unit(FAILED.kind, FAILED.keys[0], FAILED.window) is None
    assert checkpoint.is_done(BATCH.kind, "c1")
    (failed,) = checkpoint.failed_units()
    assert (failed.unit.keys, failed.error) == (("c2", "c3"), "no attempt left")
    assert checkpoint.attempts(FAILED) == 1
    await checkpoint.fold()
    assert [receipt.unit.keys for receipt in checkpoint.receipts()] == [DONE.keys, ("c1",)]
    assert [receipt.end for receipt in checkpoint.receipts()] == [END, None]
    checkpoint.close()
