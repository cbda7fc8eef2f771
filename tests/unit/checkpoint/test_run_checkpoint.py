"""What the checkpoint remembers, across restarts and folds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson
import pytest

from polybackfill import errors, units
from polybackfill.checkpoint import run_checkpoint, unit_states

ONE = units.Unit(units.WALLETS, ("a" * 40,))
TWO = units.Unit(units.WALLETS, ("b" * 40,))
BATCH = units.Unit(units.CONDITIONS, ("c1", "c2", "c3"))
PAGE = units.Counts(rows=10, pages=1, rejected=1, first_second=50, last_second=90)
RESUME: units.Resume = {"cursor": "opaque", "second": 50}


class Still:
    """A clock that stands still."""

    def now(self) -> float:
        return 1_790_000_000.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0 * seconds)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def book(folder: Path) -> Iterator[run_checkpoint.Checkpoint]:
    opened = run_checkpoint.Checkpoint.open(folder, clock=Still())
    yield opened
    opened.close()


def reopened(book: run_checkpoint.Checkpoint, folder: Path) -> run_checkpoint.Checkpoint:
    book.close()
    return run_checkpoint.Checkpoint.open(folder, clock=Still())


def content_of(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def complete(book: run_checkpoint.Checkpoint, *finished: units.Unit) -> None:
    for unit in finished:
        assert book.finish(unit.id, book.begin(unit), PAGE)


async def test_a_finished_unit_stays_finished(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    await book.sync()
    book = reopened(book, folder)
    assert book.is_done(units.WALLETS, ONE.keys[0])
    assert not book.is_done(units.WALLETS, TWO.keys[0])
    assert not book.is_done(units.WALLETS, ONE.keys[0], (5, None))
    assert not book.is_done(units.CONDITIONS, ONE.keys[0])
    assert [receipt.counts for receipt in book.receipts()] == [PAGE]


async def test_an_open_unit_keeps_where_it_stood_and_what_it_counted(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    attempt = book.begin(ONE)
    book.advance(ONE.id, attempt, {"cursor": "x", "second": 70}, PAGE)
    book.advance(ONE.id, attempt, RESUME, units.Counts(rows=5, pages=1, first_second=40))
    await book.sync()
    (held,) = reopened(book, folder).open_units()
    assert held.resume == RESUME
    assert held.counts == units.Counts(
        rows=15, pages=2, rejected=1, first_second=40, last_second=90
    )


async def test_what_was_not_synced_is_as_if_it_had_not_happened(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    await book.sync()
    complete(book, TWO)
    assert not run_checkpoint.Checkpoint.view(folder).is_done(units.WALLETS, TWO.keys[0])


async def test_an_old_attempt_is_refused(book: run_checkpoint.Checkpoint) -> None:
    old = book.begin(ONE)
    book.give_back(ONE.id, old, counted=True)
    new = book.begin(ONE)
    assert new == old + 1
    assert not book.advance(ONE.id, old, RESUME, PAGE)
    assert not book.restart(ONE.id, old)
    assert not book.finish(ONE.id, old, PAGE)
    assert not book.fail(ONE.id, old, "late")
    assert book.give_back(ONE.id, old, counted=True) is None
    assert book.split(BATCH.id, 1) is None
    assert book.advance(ONE.id, new, RESUME, PAGE)


async def test_pages_acknowledged_after_a_give_back_still_count(
    book: run_checkpoint.Checkpoint,
) -> None:
    attempt = book.begin(ONE)
    book.give_back(ONE.id, attempt, counted=False)
    assert book.advance(ONE.id, attempt, RESUME, PAGE)
    found = book.find(ONE)
    assert found is not None
    assert found.resume == RESUME


async def test_a_fenced_attempt_is_refused_at_once(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    attempt = book.begin(ONE)
    book.give_back(ONE.id, attempt, counted=True, fenced=True)
    assert not book.advance(ONE.id, attempt, RESUME, PAGE)
    await book.sync()
    book = reopened(book, folder)
    assert not book.advance(ONE.id, attempt, RESUME, PAGE)
    assert book.begin(ONE) > attempt


async def test_attempts_and_errors_are_counted_over_restarts(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    for number in range(1, 4):
        attempt = book.begin(ONE)
        book.give_back(ONE.id, attempt, counted=True, not_before=5.0, error=f"reset {number}")
        await book.sync()
        book = reopened(book, folder)
    (held,) = book.open_units()
    assert (held.errors, held.errors_total, held.interruptions) == (3, 3, 0)
    assert (held.not_before, held.error) == (5.0, "reset 3")
    assert book.attempts(ONE) == 3


async def test_progress_clears_the_errors_but_not_their_total(
    book: run_checkpoint.Checkpoint,
) -> None:
    book.give_back(ONE.id, book.begin(ONE), counted=True)
    attempt = book.begin(ONE)
    book.advance(ONE.id, attempt, RESUME, PAGE)
    held = book.give_back(ONE.id, attempt, counted=True)
    assert held is not None
    assert (held.errors, held.errors_total) == (1, 2)


async def test_a_death_under_a_unit_is_noticed_at_the_next_start(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    for deaths in range(1, 4):
        book.begin(ONE)
        await book.sync()
        book = reopened(book, folder)
        (held,) = book.open_units()
        assert (held.interruptions, held.errors, held.in_flight) == (deaths, 0, False)
    book.advance(ONE.id, book.begin(ONE), RESUME, PAGE)
    assert book.open_units()[0].interruptions == 0


async def test_an_interruption_that_was_never_written_is_still_found(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    book.begin(ONE)
    await book.sync()
    for _ in range(2):
        assert run_checkpoint.Checkpoint.open(folder).open_units()[0].interruptions == 1


async def test_a_walk_that_restarts_counts_from_zero(book: run_checkpoint.Checkpoint) -> None:
    attempt = book.begin(ONE)
    book.advance(ONE.id, attempt, RESUME, PAGE)
    assert book.restart(ONE.id, attempt)
    (held,) = book.open_units()
    assert (held.resume, held.counts) == (None, units.NOTHING)


async def test_a_walk_that_restarts_in_vain_is_not_forgiven_its_errors(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    """What it reads again is nothing gained, or it would be tried for hours."""
    attempt = book.begin(ONE)
    book.advance(ONE.id, attempt, RESUME, PAGE)
    for failed in (1, 2):
        book.restart(ONE.id, attempt)
        book.advance(ONE.id, attempt, RESUME, PAGE)
        held = book.give_back(ONE.id, attempt, counted=True)
        assert held is not None
        assert held.errors == failed
        await book.fold()
        book = reopened(book, folder)
        attempt = book.begin(ONE)
    further = msgspec.structs.replace(PAGE, pages=PAGE.pages + 1)
    book.advance(ONE.id, attempt, RESUME, further)
    assert book.open_units()[0].errors == 0


async def test_a_failed_unit_keeps_its_message_and_may_be_begun_again(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    book.fail(ONE.id, book.begin(ONE), "400 no such wallet " + "x" * 9_000)
    await book.fold()
    book = reopened(book, folder)
    (failed,) = book.failed_units()
    assert failed.error.startswith("400 no such wallet")
    assert len(failed.error) < 1_000
    assert book.failed_unit(units.WALLETS, ONE.keys[0]) == failed
    assert book.begin(ONE) == 2
    assert book.failed_units() == []


async def test_doneness_of_a_batch_is_known_key_by_key(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, BATCH)
    await book.fold()
    book = reopened(book, folder)
    assert all(book.is_done(units.CONDITIONS, key) for key in BATCH.keys)
    assert book.totals()[units.CONDITIONS].keys == 3
    with pytest.raises(ValueError, match="forget"):
        book.begin(units.Unit(units.CONDITIONS, ("c2",)))


async def test_halves_take_the_place_of_a_split_unit(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    halves = book.split(BATCH.id, book.begin(BATCH))
    assert halves is not None
    await book.sync()
    book = reopened(book, folder)
    assert [held.unit for held in book.open_units()] == list(halves)
    found = book.open_unit(units.CONDITIONS, "c3")
    assert found is not None
    assert found.unit == halves[1]


async def test_forgotten_keys_are_as_if_never_seen(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE, TWO, BATCH)
    await book.fold()
    book.forget(units.WALLETS, [ONE.keys[0]])
    book.forget(units.CONDITIONS, ["c2"])
    for _ in range(2):
        assert not book.is_done(units.WALLETS, ONE.keys[0])
        assert book.is_done(units.WALLETS, TWO.keys[0])
        assert [book.is_done(units.CONDITIONS, key) for key in BATCH.keys] == [True, False, True]
        assert [receipt.unit.keys for receipt in book.receipts()] == [TWO.keys, ("c1", "c3")]
        await book.sync()
        assert book.totals()[units.WALLETS].units == 1
        assert book.totals()[units.CONDITIONS].keys == 2
        book = reopened(book, folder)


async def test_keys_forgotten_while_a_fold_is_under_way_stay_forgotten(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE, TWO)
    folding = asyncio.create_task(book.fold())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    book.forget(units.WALLETS, ONE.keys)
    assert [receipt.unit for receipt in book.receipts()] == [TWO]
    await folding
    for _ in range(2):
        assert [receipt.unit for receipt in book.receipts()] == [TWO]
        assert book.totals()[units.WALLETS].units == 1
        await book.sync()
        book = reopened(book, folder)


async def test_forgetting_key_by_key_does_not_rewrite_the_segments_each_time(
    book: run_checkpoint.Checkpoint,
) -> None:
    complete(book, *(units.Unit(units.WALLETS, (f"{number}",)) for number in range(300)))
    await book.fold()
    before = book.stats()["generation"]
    for number in range(300):
        book.forget(units.WALLETS, [f"{number}"])
        await book.sync()
    assert book.stats()["generation"] == before
    await book.fold()
    assert list(book.receipts()) == []


async def test_a_forgotten_kind_leaves_the_other_alone(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE, BATCH)
    await book.fold()
    attempt = book.begin(TWO)
    book.fail(TWO.id, attempt, "no")
    book.forget(units.WALLETS)
    await book.sync()
    book = reopened(book, folder)
    assert not book.is_done(units.WALLETS, ONE.keys[0])
    assert book.is_done(units.CONDITIONS, "c1")
    assert book.failed_units() == []
    assert set(book.totals()) == {units.CONDITIONS}


async def test_a_late_line_of_a_forgotten_attempt_does_not_pass_for_the_new_one(
    book: run_checkpoint.Checkpoint,
) -> None:
    old = book.begin(ONE)
    book.forget(units.WALLETS, ONE.keys)
    assert not book.advance(ONE.id, old, RESUME, PAGE)
    book.begin(ONE)
    assert not book.finish(ONE.id, old, PAGE)


async def test_forgotten_and_finished_again_counts_once(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    await book.fold()
    book.forget(units.WALLETS, ONE.keys)
    complete(book, ONE)
    await book.fold()
    book = reopened(book, folder)
    assert book.totals()[units.WALLETS].units == 1
    assert len(list(book.receipts())) == 1


async def test_ends_are_listed_until_the_plan_table_shows_them(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    book.fail(TWO.id, book.begin(TWO), "gone")
    assert book.transitions_since(0) == []  # nothing is told that a crash could take back
    await book.fold()
    book = reopened(book, folder)
    done, failed = book.transitions_since(book.synced_seq)
    assert isinstance(done, unit_states.Receipt)
    assert isinstance(failed, unit_states.FailedUnit)
    assert not book.is_synced(units.WALLETS, ONE.keys[0])
    book.note_plan_synced(done.seq)
    assert book.is_synced(units.WALLETS, ONE.keys[0])
    assert not book.is_synced(units.WALLETS, TWO.keys[0])
    await book.sync()
    book = reopened(book, folder)
    assert book.transitions_since(book.synced_seq) == [failed]
    book.note_plan_synced(failed.seq)
    await book.fold()
    assert reopened(book, folder).transitions_since(0) == []


async def test_the_end_of_one_window_is_not_taken_for_that_of_another(
    book: run_checkpoint.Checkpoint,
) -> None:
    """Begun anew, the window in error is no end any more; that of the other is still to be told."""
    key = ONE.keys[0]
    complete(book, units.Unit(units.WALLETS, ONE.keys, 5, None))
    book.fail(ONE.id, book.begin(ONE), "gone")
    book.begin(ONE)
    assert not book.is_synced(units.WALLETS, key)
    await book.sync()
    assert len(book.transitions_since(0)) == 1
    book.forget(units.WALLETS, [key])
    await book.sync()
    assert book.is_synced(units.WALLETS, key)
    assert book.transitions_since(0) == []


async def test_many_segments_hold_what_was_put_in(folder: Path) -> None:
    book = run_checkpoint.Checkpoint.open(folder, segment_units=7, fold_lines=25)
    for number in range(100):
        complete(book, units.Unit(units.WALLETS, (f"{number:040x}",)))
        if number % 3 == 0:
            await book.sync()
    await book.sync()
    book.close()
    book = run_checkpoint.Checkpoint.open(folder, segment_units=7)
    numbers = [int(receipt.unit.keys[0], 16) for receipt in book.receipts()]
    assert numbers == list(range(100))
    assert book.totals()[units.WALLETS].rows == 1_000
    segments = content_of(folder, "done-*.jsonl")
    assert max(len(content.splitlines()) for content in segments.values()) == 7
    assert len(segments) <= 100 // 7 + 3
    book.close()


async def test_files_are_json_a_person_can_read(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    book.begin(TWO)
    await book.fold()
    state = orjson.loads((folder / "state.json").read_bytes())
    assert state["format"] == "polybackfill-ledger"
    assert state["open"][0]["unit"]["keys"] == list(TWO.keys)
    (receipt,) = map(orjson.loads, (folder / "done-000001.jsonl").read_bytes().splitlines())
    assert receipt["counts"]["rows"] == 10
    assert receipt["at"] == "2026-09-21T14:13:20Z"
    lines = (folder / "ledger.prev.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line).get("event") for line in lines] == [
        None,
        "begin",
        "finish",
        "begin",
    ]


async def test_a_viewer_reads_beside_the_owner_and_changes_nothing(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    await book.sync()
    before = content_of(folder)
    viewer = run_checkpoint.Checkpoint.view(folder)
    assert viewer.is_done(units.WALLETS, ONE.keys[0])
    with pytest.raises(errors.Stop, match="reading only"):
        viewer.begin(TWO)
    with pytest.raises(errors.Stop, match="reading only"):
        await viewer.sync()
    viewer.close()
    assert content_of(folder) == before


async def test_a_viewer_is_right_at_every_step_of_a_fold(folder: Path) -> None:
    seen: list[tuple[bool, int]] = []

    def look(name: str) -> None:
        if threading.current_thread() is not threading.main_thread() and name != "append":
            viewer = run_checkpoint.Checkpoint.view(folder)
            seen.append((viewer.is_done(units.WALLETS, ONE.keys[0]), len(list(viewer.receipts()))))
            viewer.close()

    book = run_checkpoint.Checkpoint.open(folder, step=look)
    complete(book, ONE)
    await book.sync()
    seen.clear()
    complete(book, TWO)
    await book.fold()
    book.close()
    assert len(seen) > 10
    assert all(done for done, _ in seen)
    assert {count for _, count in seen[1:]} == {2}


async def test_syncs_share_writes_and_survive_the_cancellation_of_a_caller(
    book: run_checkpoint.Checkpoint, folder: Path
) -> None:
    complete(book, ONE)
    callers = [asyncio.create_task(book.sync()) for _ in range(20)]
    await asyncio.sleep(0)
    callers[0].cancel()
    complete(book, TWO)
    await asyncio.gather(*callers[1:], book.sync())
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    assert int(str(book.stats()["syncs"])) <= 3
    assert run_checkpoint.Checkpoint.view(folder).is_done(units.WALLETS, TWO.keys[0])


async def test_nothing_blocks_the_loop(folder: Path, no_blocking_calls: object) -> None:
    del no_blocking_calls
    book = await asyncio.to_thread(run_checkpoint.Checkpoint.open, folder)
    complete(book, ONE)
    await book.sync()
    complete(book, TWO)
    await book.fold()
    await asyncio.to_thread(book.close)


async def test_closing_writes_what_is_left(book: run_checkpoint.Checkpoint, folder: Path) -> None:
    complete(book, ONE)
    book = reopened(book, folder)
    assert book.is_done(units.WALLETS, ONE.keys[0])
    book.close()
    with pytest.raises(errors.Stop, match="closed"):
        book.begin(TWO)


async def test_a_sync_costs_as_much_with_many_finished_units_as_with_few(folder: Path) -> None:
    book = run_checkpoint.Checkpoint.open(folder, segment_units=50)
    written: list[int] = []
    for number in range(1_000):
        complete(book, units.Unit(units.WALLETS, (f"{number:040x}",)))
        if number % 50 == 49:
            for end in book.transitions_since(book.synced_seq)[-1:]:
                book.note_plan_synced(end.seq)
            await book.fold()
            newest = list(content_of(folder, "done-*.jsonl").values())[-1]
            written.append(len(newest) + len(content_of(folder)["ledger.prev.jsonl"]))
    book.close()
    assert max(written[10:]) < 1.2 * max(written[:3])
