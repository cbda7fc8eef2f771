"""Torn, truncated, foreign, newer, unwritable, full: a clear message, and nothing lost."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from polybackfill import errors, units
from polybackfill.checkpoint import run_checkpoint

PAGE = units.Counts(rows=10, pages=1)


def wallet(number: int) -> units.Unit:
    return units.Unit(units.WALLETS, (f"{number:040x}",))


def complete(book: run_checkpoint.Checkpoint, *numbers: int) -> None:
    for number in numbers:
        assert book.finish(wallet(number).id, book.begin(wallet(number)), PAGE)


def done(folder: Path, *numbers: int) -> list[bool]:
    book = run_checkpoint.Checkpoint.open(folder)
    try:
        return [book.is_done(units.WALLETS, wallet(number).keys[0]) for number in numbers]
    finally:
        book.close()


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A checkpoint with two folds behind it: 1 in the first, 2 in the second, 3 in the journal."""
    path = tmp_path / "run"
    book = run_checkpoint.Checkpoint.open(path, store_id="store-1", segment_units=1)
    for number in (1, 2):
        complete(book, number)
        book.note_plan_synced(9)
        await book.fold()
    book.close()
    book = run_checkpoint.Checkpoint.open(path)
    complete(book, 3)
    await book.sync()
    book.close()
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path, *words: str) -> errors.Stop:
    """Opening raises Stop that names all of `words`, and changes no file."""
    before = content_of(folder)
    with pytest.raises(errors.Stop) as caught:
        run_checkpoint.Checkpoint.open(folder, store_id="store-1")
    for word in words:
        assert word in str(caught.value)
    assert content_of(folder) == before
    return caught.value


@pytest.mark.parametrize("tail", [b"{", b'{"event":"begin","seq":9', b"\0" * 700, b"\xff\n"])
async def test_a_torn_last_line_is_kept_aside_and_survived(folder: Path, tail: bytes) -> None:
    with (folder / "ledger.jsonl").open("ab") as file:
        file.write(tail)
    assert done(folder, 1, 2, 3) == [True] * 3
    assert [content for name, content in content_of(folder).items() if "torn" in name] == [tail]
    assert not (folder / "ledger.jsonl").read_bytes().endswith(tail)
    book = run_checkpoint.Checkpoint.open(folder)
    complete(book, 4)
    await book.sync()
    book.close()
    assert done(folder, 3, 4) == [True, True]


async def test_any_cut_through_the_last_line_loses_that_line_alone(folder: Path) -> None:
    whole = (folder / "ledger.jsonl").read_bytes()
    last_begins = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last_begins, len(whole), 7):
        (folder / "ledger.jsonl").write_bytes(whole[:cut])
        assert done(folder, 1, 2, 3) == [True, True, False]
        (folder / "ledger.jsonl").write_bytes(whole)


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-40], lambda _: b"", lambda _: b"\0" * 99])
async def test_a_damaged_state_falls_back_to_the_generation_before(
    folder: Path, spoil: Callable[[bytes], bytes]
) -> None:
    whole = (folder / "state.json").read_bytes()
    (folder / "state.json").write_bytes(spoil(whole))
    book = run_checkpoint.Checkpoint.open(folder, store_id="store-1")
    assert book.stats()["healed"] == ["state.json was damaged; the generation before it was used"]
    complete(book, 4)
    await book.fold()
    book.close()
    assert (folder / "state.damaged.json").read_bytes() == spoil(whole)
    assert done(folder, 1, 2, 3, 4) == [True] * 4


async def test_a_state_that_is_torn_after_each_fold_is_survived_each_time(tmp_path: Path) -> None:
    for number in range(5):
        book = run_checkpoint.Checkpoint.open(tmp_path, segment_units=2)
        complete(book, number)
        await book.fold()
        book.close()
        whole = (tmp_path / "state.json").read_bytes()
        (tmp_path / "state.json").write_bytes(whole[: len(whole) // 2])
    assert done(tmp_path, *range(5)) == [True] * 5


async def test_a_changed_digit_in_the_state_is_noticed(folder: Path) -> None:
    state = orjson.loads((folder / "state.json").read_bytes())
    state["segments"][0]["totals"]["wallets"]["rows"] = 11
    (folder / "state.json").write_bytes(orjson.dumps(state))
    assert done(folder, 1, 2, 3) == [True] * 3
    assert (folder / "state.damaged.json").exists()


async def test_without_any_readable_state_nothing_is_guessed(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"{")
    (folder / "state.prev.json").write_bytes(b"{")
    refused(folder, "state.json", "state.prev.json", "backup", "not doubled")


async def test_a_first_state_that_was_torn_is_made_again_from_the_journal(tmp_path: Path) -> None:
    book = run_checkpoint.Checkpoint.open(tmp_path)
    complete(book, 1)
    await book.sync()
    book.close()
    (tmp_path / "state.json").write_bytes(b'{"for')
    assert done(tmp_path, 1) == [True]
    assert done(tmp_path, 1) == [True]


async def test_damage_in_the_middle_of_the_journal_names_the_line(folder: Path) -> None:
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    lines[1] = lines[1].replace(b"begin", b"begun")
    (folder / "ledger.jsonl").write_bytes(b"".join(lines))
    refused(folder, "ledger.jsonl line 2 is damaged", "backup")


async def test_a_line_taken_out_of_the_journal_is_missed(folder: Path) -> None:
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(lines[0] + lines[2])
    refused(folder, "ledger.jsonl line 2", "missing")


async def test_a_journal_older_than_the_state_before_it_is_missed(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"{")
    (folder / "ledger.prev.jsonl").unlink()
    refused(folder, "ledger.jsonl", "missing")


async def test_a_truncated_segment_is_named(folder: Path) -> None:
    segment = folder / "done-000001.jsonl"
    segment.write_bytes(segment.read_bytes()[:-1])
    refused(folder, "done-000001.jsonl", "bytes", "backup")
    segment.unlink()
    refused(folder, "done-000001.jsonl", "No such file")


async def test_a_damaged_line_in_a_segment_is_named_when_it_is_read(folder: Path) -> None:
    segment = folder / "done-000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"rows":10', b'"rows":1x'))
    book = run_checkpoint.Checkpoint.open(folder)
    with pytest.raises(errors.Stop, match=r"done-000001\.jsonl line 1 is damaged"):
        list(book.receipts())
    segment.write_bytes(segment.read_bytes().replace(b'"rows":1x', b'"rows":11'))
    with pytest.raises(errors.Stop, match="checksum"):
        list(book.receipts())
    book.close()


@pytest.mark.parametrize("spoil", [lambda _: b"", lambda packed: packed[:-1] + b"?"])
async def test_an_index_file_is_only_a_copy(folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    derived = folder / "done-000001.idx"
    derived.write_bytes(spoil(derived.read_bytes()))
    assert done(folder, 1, 2, 3, 4) == [True, True, True, False]
    derived.unlink()
    assert done(folder, 1, 2, 3, 4) == [True, True, True, False]


@pytest.mark.parametrize("name", ["state.json", "ledger.jsonl"])
@pytest.mark.parametrize(
    "content", [b'{"lastTimestamp": 5}\n', b'{"format": "other", "version": 1}\n']
)
async def test_a_file_of_another_program_is_left_alone(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    refused(folder, name, "not written by polybackfill", "BACKFILL_CHECKPOINT_DIR")


async def test_a_text_that_is_no_journal_is_left_alone(folder: Path) -> None:
    (folder / "ledger.jsonl").write_bytes(b"2026-11-20 started\n2026-11-20 stopped\n")
    refused(folder, "ledger.jsonl", "not written by polybackfill")


@pytest.mark.parametrize("name", ["state.json", "ledger.jsonl"])
async def test_a_newer_version_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2', 1))
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 2', 1))
    stop = refused(folder, name, "schema version 2", "up to 1")
    assert stop.exit_code == errors.EXIT_CONFIG


async def test_the_checkpoint_of_another_store_is_refused(folder: Path) -> None:
    with pytest.raises(errors.Stop, match="belongs to another store"):
        run_checkpoint.Checkpoint.open(folder, store_id="store-2")
    with pytest.raises(errors.Stop, match="store-2"):
        run_checkpoint.Checkpoint.open(folder, store_id="store-2")
    assert done(folder, 3) == [True]


async def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.Stop, match="BACKFILL_CHECKPOINT_DIR") as caught:
        run_checkpoint.Checkpoint.open(tmp_path / "file" / "run")
    assert caught.value.exit_code == errors.EXIT_CONFIG
    assert str(tmp_path / "file" / "run") in str(caught.value)


@contextmanager
def room_of(file_bytes: int) -> Iterator[None]:
    """No file may grow beyond `file_bytes`, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


async def test_a_full_disk_stops_the_checkpoint_and_loses_nothing(folder: Path) -> None:
    book = run_checkpoint.Checkpoint.open(folder)
    durable = (folder / "ledger.jsonl").read_bytes()
    complete(book, 4)
    with room_of(len(durable) + 100):
        with pytest.raises(errors.Stop, match="make room") as caught:
            await book.sync()
        assert caught.value.exit_code == errors.EXIT_UNAVAILABLE
        assert str(folder) in str(caught.value)
    assert (folder / "ledger.jsonl").read_bytes() == durable
    # Room again or not: what memory says is what the disk says, and nothing more is taken in.
    assert [book.is_done(units.WALLETS, wallet(number).keys[0]) for number in (3, 4)] == [
        True,
        False,
    ]
    with pytest.raises(errors.Stop, match="make room"):
        book.begin(wallet(5))
    with pytest.raises(errors.Stop, match="make room"):
        await book.sync()
    book.close()
    assert done(folder, 1, 2, 3, 4) == [True, True, True, False]


async def test_a_disk_that_fills_during_a_fold_keeps_the_journal(folder: Path) -> None:
    book = run_checkpoint.Checkpoint.open(folder)
    complete(book, *range(4, 40))
    await book.sync()
    with room_of((folder / "ledger.jsonl").stat().st_size), pytest.raises(errors.Stop):
        await fold_with_more(book)
    book.close()
    assert all(done(folder, *range(1, 40)))


async def fold_with_more(book: run_checkpoint.Checkpoint) -> None:
    complete(book, *range(40, 80))
    await book.fold()
