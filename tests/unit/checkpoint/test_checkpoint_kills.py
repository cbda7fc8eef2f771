"""A kill between any two steps on the disk: nothing lost, nothing doubled, nothing left lying."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

from polybackfill import units
from polybackfill.checkpoint import checkpoint_folder, run_checkpoint, segment_files
from polybackfill.filesystem import files

PAGE = units.Counts(rows=10, pages=1)


OPEN = units.Unit(units.CONDITIONS, ("c1", "c2"))


BROKEN = units.Unit(units.CONDITIONS, ("c3",))


class Killed(Exception):
    """Stands for SIGKILL at this step."""


class KillAt:
    """A step hook that kills at step number `number`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self.number:
            raise Killed(name)


def wallet(number: int) -> units.Unit:
    return units.Unit(units.WALLETS, (f"{number:040x}",))


def complete(book: run_checkpoint.Checkpoint, *numbers: int) -> None:
    for number in numbers:
        assert book.finish(wallet(number).id, book.begin(wallet(number)), PAGE)


async def prepared(folder: Path) -> None:
    """Two folds, a partial segment, an open and a failed unit, and an unfolded journal."""
    book = run_checkpoint.Checkpoint.open(folder, segment_units=4)
    complete(book, 0, 1, 2)
    book.advance(OPEN.id, book.begin(OPEN), {"cursor": "x"}, PAGE)
    await book.fold()
    complete(book, 3, 4, 5)
    await book.fold()
    book.fail(BROKEN.id, book.begin(BROKEN), "400")
    complete(book, 6)
    await book.sync()
    book.close()


async def three_rounds(folder: Path, step: files.Step, durable: Callable[[int], None]) -> None:
    """Finish 7, 8, 9, each followed by a fold; `durable` hears what a sync acknowledged."""
    book = run_checkpoint.Checkpoint.open(folder, segment_units=4, step=step)
    try:
        for number in (7, 8, 9):
            complete(book, number)
            await book.sync()
            durable(number)
            await book.fold()
    finally:
        book.close()


def proven_numbers(folder: Path, highest: int) -> list[int]:
    """Wallets that are done, by every way of asking, which must agree."""
    book = run_checkpoint.Checkpoint.open(folder, segment_units=4)
    try:
        numbers = [n for n in range(20) if book.is_done(units.WALLETS, wallet(n).keys[0])]
        receipts = sorted(int(one.unit.keys[0], 16) for one in book.receipts())
        assert receipts == numbers
        totals = book.totals()[units.WALLETS]
        assert (totals.units, totals.rows) == (len(numbers), 10 * len(numbers))
        ends = [end.unit for end in book.transitions_since(0)]
        assert sorted(ends, key=str) == sorted([*map(wallet, numbers), BROKEN], key=str)
        assert [held.resume for held in book.open_units() if held.unit == OPEN] == [{"cursor": "x"}]
        assert [failed.unit for failed in book.failed_units()] == [BROKEN]
        assert max(numbers) <= highest
    finally:
        book.close()
    return numbers


async def test_a_kill_before_any_step_of_open_sync_and_fold(tmp_path: Path) -> None:
    await prepared(tmp_path / "base")
    names: set[str] = set()
    for number in itertools.count(1):
        folder = tmp_path / f"kill-{number}"
        shutil.copytree(tmp_path / "base", folder)
        acknowledged = [6]
        kill = KillAt(number)
        try:
            await three_rounds(folder, kill, acknowledged.append)
        except Killed:
            found = proven_numbers(folder, acknowledged[-1] + 1)
            assert found in (
                list(range(acknowledged[-1] + 1)),
                list(range(acknowledged[-1] + 2)),
            ), kill.names[-1]
            await go_on(folder, found[-1] + 1)
        else:
            break
        names.update(name.split()[0] for name in kill.names)
    assert number > 60
    assert names >= {"append", "write", "fsync", "rename", "unlink"}


async def go_on(folder: Path, number: int) -> None:
    """After the kill the checkpoint works as ever, and two folds later nothing is left lying."""
    book = run_checkpoint.Checkpoint.open(folder, segment_units=4)
    complete(book, number)
    await book.fold()
    complete(book, number + 1)
    await book.fold()
    complete(book, number + 2)
    await book.fold()
    book.close()
    assert proven_numbers(folder, number + 2) == list(range(number + 3))
    assert_swept(folder)


def assert_swept(folder: Path) -> None:
    listed = {
        segment.name
        for name in (segment_files.STATE, segment_files.STATE_PREVIOUS)
        if (state := segment_files.read_state(folder / name)) is not None
        for segment in state.segments
    }
    assert {path.name for path in folder.glob("done-*.jsonl")} == listed
    assert {path.stem for path in folder.glob("done-*.idx")} == {Path(name).stem for name in listed}


async def test_a_kill_before_any_step_of_forgetting(tmp_path: Path) -> None:
    await prepared(tmp_path / "base")
    for number in itertools.count(1):
        folder = tmp_path / f"kill-{number}"
        shutil.copytree(tmp_path / "base", folder)
        book = run_checkpoint.Checkpoint.open(folder, segment_units=4, step=KillAt(number))
        book.forget(units.WALLETS, [wallet(1).keys[0], wallet(6).keys[0]])
        try:
            await book.fold()
        except Killed:
            book.close()
            assert proven_numbers(folder, 6) in ([0, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6])
        else:
            book.close()
            break
    assert number > 15
    assert proven_numbers(folder, 6) == [0, 2, 3, 4, 5]


async def test_the_generation_before_is_good_at_every_step_of_a_fold(tmp_path: Path) -> None:
    await prepared(tmp_path / "base")
    for number in itertools.count(1):
        folder = tmp_path / f"kill-{number}"
        shutil.copytree(tmp_path / "base", folder)
        acknowledged = [6]
        try:
            await three_rounds(folder, KillAt(number), acknowledged.append)
        except Killed:
            (folder / segment_files.STATE).write_bytes(b"{ torn")
            found = proven_numbers(folder, acknowledged[-1] + 1)
            assert found[: acknowledged[-1] + 1] == list(range(acknowledged[-1] + 1))
        else:
            break


def test_every_rename_comes_after_the_fsync_of_what_it_names(tmp_path: Path) -> None:
    kill = KillAt(-1)
    files.write_atomic(tmp_path / "state.json", b"{}", kill)
    assert kill.names == [
        "write state.json.tmp",
        "fsync state.json.tmp",
        "rename state.json",
        f"fsync {tmp_path.name}/",
    ]


def test_a_kill_at_the_very_first_start(tmp_path: Path) -> None:
    for number in itertools.count(1):
        folder = tmp_path / f"kill-{number}"
        try:
            checkpoint_folder.CheckpointFolder(folder, step=KillAt(number)).load()
        except Killed:
            run_checkpoint.Checkpoint.open(folder).close()
            assert run_checkpoint.Checkpoint.view(folder).open_units() == []
        else:
            break
    assert number > 6
