"""Receipts in the store: what is proven stands there, and nothing that was forgotten."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from polybackfill import units
from polybackfill.checkpoint import restoration, run_checkpoint
from polybackfill.checks import receipt_table
from polybackfill.reports import receipt_records, unit_map
from polybackfill.run import reconcile
from polybackfill.store import client, stored_receipts

PAGE = units.Counts(rows=7, pages=1, rejected=2, first_second=100, last_second=200)
END = units.FeedEnd(second=300, lag_s=4.5, confirmed=True)
SHOWN = "SELECT kind, keys, sweep, rows, partial FROM backfill_receipts ORDER BY run_name, seq"


@pytest.fixture
def folder_of_run(tmp_path: Path) -> Path:
    """The folder of the run `main`."""
    return tmp_path / "main"


@pytest.fixture
def book(folder_of_run: Path) -> Iterator[run_checkpoint.Checkpoint]:
    opened = run_checkpoint.Checkpoint.open(folder_of_run, store_id="s")
    yield opened
    opened.close()


def done(book: run_checkpoint.Checkpoint, *units_done: units.Unit) -> None:
    """Proven, each with the counts of one page."""
    for unit in units_done:
        book.finish(unit.id, book.begin(unit), PAGE, END)


def empty(folder: Path) -> None:
    """Lose all of it."""
    shutil.rmtree(folder)
    folder.mkdir()


async def tell(store: client.Store, book: run_checkpoint.Checkpoint) -> None:
    """As a run does every few seconds."""
    await book.sync()
    ends = book.transitions_since(book.synced_seq)
    await stored_receipts.StoredReceipts(store, book.run_name).follow(book, ends)
    if ends:
        book.note_plan_synced(ends[-1].seq)


async def shown(store: client.Store) -> list[tuple[str, ...]]:
    """Kind and keys of what stands there, a mark behind a partial one."""
    rows = await store.rows(SHOWN)
    return [
        (row["kind"], *(units.mark_key(key, row["sweep"]) for key in row["keys"]))
        + (("partial",) if row["partial"] else ())
        for row in rows
    ]


BATCH = units.Unit("conditions", ("a", "b", "c"))
WALLET = units.Unit("wallets", ("w",))
WINDOW = units.Unit("wallets", ("w",), 1_000, None)
SWEPT = units.Unit("positions", ("w@20260101T000000Z",))
LATER = units.Unit("positions", ("w@20260102T000000Z",))


async def test_what_is_told_twice_stands_there_once(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    done(book, BATCH, WALLET, WINDOW)
    failed = units.Unit("wallets", ("f",))
    book.fail(failed.id, book.begin(failed), "400")
    receipts = stored_receipts.StoredReceipts(migrated, book.run_name)
    await book.sync()
    for _ in range(2):  # killed before it was noted
        await receipts.follow(book, book.transitions_since(0))
    assert await shown(migrated) == [("conditions", *"abc"), ("wallets", "w"), ("wallets", "w")]
    assert await receipts.is_aligned(book)
    (window,) = await migrated.rows("SELECT * FROM backfill_receipts WHERE since IS NOT NULL")
    del window["recorded_at"], window["seq"]
    assert window == {
        "kind": "wallets", "job": "", "host": "", "run_name": "main", "keys": ["w"], "sweep": "",
        "since": 1_000, "until": None, "rows": 7, "pages": 1, "rejected": 2, "first_second": 100,
        "last_second": 200, "end_second": 300, "lag_s": 4.5, "end_is_confirmed": True,
        "attempts": 1, "partial": False,
    }  # fmt: skip


async def test_a_run_that_joins_a_job_keeps_its_receipts_and_names_the_job(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    """Each row says what it was written for; all of them are of one checkpoint, told once."""
    done(book, BATCH)
    await tell(migrated, book)
    done(book, WALLET)
    await book.sync()
    receipts = stored_receipts.StoredReceipts(migrated, book.run_name, job="night")
    await receipts.follow(book, book.transitions_since(book.synced_seq))
    assert await receipts.is_aligned(book)
    who = "SELECT kind, job, host FROM backfill_receipts ORDER BY kind"
    here = {"kind": "wallets", "job": "night", "host": socket.gethostname()}
    assert await migrated.rows(who) == [{"kind": "conditions", "job": "", "host": ""}, here]
    book.forget("conditions", ["b"])  # of a row that was written without the job
    await receipts.follow(book, [])
    assert await shown(migrated) == [("conditions", "a", "c", "partial"), ("wallets", "w")]
    # Told once more under another name: the sums differ, so all of it is written anew.
    await stored_receipts.StoredReceipts(migrated, book.run_name).follow(
        book, book.transitions_since(0)
    )
    await receipts.align(book)
    assert await receipts.is_aligned(book)
    assert await shown(migrated) == [("conditions", "a", "c", "partial"), ("wallets", "w")]


async def test_what_is_forgotten_is_withdrawn(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    done(book, BATCH, WALLET, WINDOW, SWEPT, LATER)
    await tell(migrated, book)
    book.forget("conditions", ["b"])
    book.forget("positions", SWEPT.keys)
    await tell(migrated, book)
    left = ("conditions", "a", "c", "partial")
    wallet = ("wallets", "w")
    assert await shown(migrated) == [left, wallet, wallet, ("positions", *LATER.keys)]
    # What is left of a unit and goes as well must not bring back what it was before.
    book.forget("conditions", ["a", "c"])
    book.forget("wallets", ["w"])
    await tell(migrated, book)
    assert await shown(migrated) == [("positions", *LATER.keys)]
    done(book, WALLET)
    book.forget("positions")
    await tell(migrated, book)
    assert await shown(migrated) == [wallet]
    assert await stored_receipts.StoredReceipts(migrated, "main").is_aligned(book)


async def test_forgotten_and_proven_again_between_two_tellings(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    done(book, WALLET)
    await tell(migrated, book)
    book.forget("wallets", ["w"])
    done(book, WALLET)
    await tell(migrated, book)
    assert await shown(migrated) == [("wallets", "w")]
    (row,) = await migrated.rows("SELECT seq FROM backfill_receipts")
    assert row["seq"] == 6


@pytest.mark.parametrize("told", ["nothing", "before a forget", "too much"])
async def test_a_start_puts_in_line_what_a_kill_has_left(
    told: str, migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    """Also the checkpoint of a version that kept no receipts in the store."""
    other = stored_receipts.StoredReceipts(migrated, "other")
    done(book, BATCH, WALLET, SWEPT)
    await book.sync()
    await other.follow(book, book.transitions_since(0))
    if told == "nothing":
        book.note_plan_synced(100)
    else:
        await tell(migrated, book)
    if told == "before a forget":
        book.forget("conditions", ["b"])
        book.forget("wallets")
        book.note_told(book.untold())  # to a store that died before it had done it
    if told == "too much":
        await migrated.command(
            "INSERT INTO backfill_receipt_rows (kind, run_name, seq, keys, version) "
            "VALUES ('wallets', 'main', 1000, ['x'], 9)"
        )
    receipts = stored_receipts.StoredReceipts(migrated, "main")
    assert not await receipts.is_aligned(book)
    await receipts.align(book)
    assert await receipts.is_aligned(book)
    three = [("conditions", *"abc"), ("wallets", "w"), ("positions", *SWEPT.keys)]
    here = three
    if told == "before a forget":
        here = [("conditions", "a", "c", "partial"), three[2]]
    assert await shown(migrated) == [*here, *three]  # those of the other run stay


async def test_a_lost_checkpoint_is_made_of_the_receipts(
    migrated: client.Store, book: run_checkpoint.Checkpoint, folder_of_run: Path
) -> None:
    done(book, BATCH, WALLET, WINDOW, SWEPT)
    book.forget("conditions", ["b"])
    await tell(migrated, book)
    before = list(book.receipts())
    book.close()
    empty(folder_of_run)
    await reconcile.restore(migrated, folder_of_run, "s")
    assert not restoration.is_new(folder_of_run)
    again = run_checkpoint.Checkpoint.open(folder_of_run, store_id="s")
    assert list(again.receipts()) == before
    assert again.is_done("wallets", "w")
    assert again.is_done("wallets", "w", (1_000, None))
    assert not again.is_done("conditions", "b")
    assert await stored_receipts.StoredReceipts(migrated, "main").is_aligned(again)
    assert again.transitions_since(again.synced_seq) == []
    done(again, units.Unit("wallets", ("n",)))
    await tell(migrated, again)
    assert ("wallets", "n") in await shown(migrated)
    assert await stored_receipts.StoredReceipts(migrated, "main").is_aligned(again)
    again.close()
    await reconcile.restore(migrated, folder_of_run, "s")  # one that is there is left alone
    assert len(list(run_checkpoint.Checkpoint.view(folder_of_run).receipts())) == 5


async def test_units_stand_in_the_table_of_checks_whether_told_or_not(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    done(book, BATCH)
    await tell(migrated, book)
    other = stored_receipts.StoredReceipts(migrated, "other")
    await other.follow(book, book.receipts())
    failed, begun = units.Unit("wallets", ("f",)), units.Unit("wallets", ("o",))
    book.fail(failed.id, book.begin(failed), "400")
    book.begin(begun)
    sql = (
        "SELECT kind, key, state, count() AS times, uniqExact(unit) AS units FROM {} "
        "GROUP BY kind, key, state ORDER BY key"
    )
    batch = [("conditions", key, "done", 2, 2) for key in "abc"]
    ends = [("wallets", "f", "error", 1, 1), ("wallets", "o", "open", 1, 1)]
    for is_told in (True, False):
        if not is_told:
            done(book, WALLET)
        of_wallet = [] if is_told else [("wallets", "w", "done", 1, 1)]
        async with receipt_table.filled(migrated, book) as table:
            rows = [tuple(row.values()) for row in await migrated.rows(sql.format(table))]
        assert rows == [*batch, *ends, *of_wallet]
    async with receipt_table.filled(migrated, book, others=False) as table:
        (row,) = await migrated.rows(f"SELECT groupUniqArray(unit) AS units FROM {table}")
    assert set(row["units"]) == {number for number, _ in receipt_table.numbered(book)}
    async with receipt_table.filled(migrated, None) as table:
        (row,) = await migrated.rows(f"SELECT count() AS n FROM {table}")
    assert row["n"] == 6


async def test_the_map_of_a_lost_checkpoint_is_that_of_its_receipts(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    done(book, BATCH, WALLET, SWEPT, LATER, units.Unit("conditions", ("d",)))
    done(book, *(units.Unit("conditions", (f"e{number}", f"f{number}")) for number in range(70)))
    # Of windows there were more than there are receipts, and between the last two is a gap.
    followed = (units.Unit("recent-trades", (key,)) for key in ("100..400", "390..700", "800..900"))
    done(book, *followed)
    await tell(migrated, book)
    keys = {"conditions": 200, "positions": 3, "wallets": 1, "user-stats": 0, "recent-trades": 26}
    receipts = stored_receipts.StoredReceipts(migrated, "main")
    drawn = await unit_map.draw_stored_map(receipts, keys)
    assert drawn == unit_map.draw_map(book, keys)
    for kind, row in drawn.items():
        for number in range(len(row["cells"]) + 1):
            asked = kind, row["step"], number
            told = await unit_map.stored_units_of_cell(receipts, *asked)
            assert told == unit_map.units_of_cell(book, *asked), asked
    first = await unit_map.stored_units_of_cell(receipts, "conditions", 1_000, 0)
    assert first["more"] == 72 - unit_map.UNITS_SHOWN


async def test_the_receipts_of_a_key_are_those_of_the_store_and_what_it_cannot_know(
    migrated: client.Store, book: run_checkpoint.Checkpoint
) -> None:
    """Of every run; also without a checkpoint, and whatever of this one was told."""

    async def shown_of(checkpoint: run_checkpoint.Checkpoint | None) -> list[tuple[str, int]]:
        stored = await stored_receipts.read_of_key(migrated, "w", most=50)
        told = receipt_records.of_key(stored, checkpoint, "w", limit=50)
        assert all("0xw" in one["keys"] for one in told)
        return sorted((f"{one['kind']} {one['state']}", one["rows"]) for one in told)

    other = stored_receipts.StoredReceipts(migrated, "other", job="night")
    done(book, WALLET, SWEPT, BATCH)
    await book.sync()
    await other.follow(book, book.receipts())
    of_another_daemon = [("positions done", 7), ("wallets done", 7)]
    assert await shown_of(None) == of_another_daemon
    failed, begun = units.Unit("wallets", ("w",), None, 9), units.Unit("user-stats", ("v", "w"))
    book.fail(failed.id, book.begin(failed), "400")
    book.begin(begun)
    unended = [("user-stats open", 0), ("wallets error", 0)]
    everything = sorted([*of_another_daemon, *of_another_daemon, *unended])
    await book.sync()
    assert await shown_of(book) == everything, "not told yet"
    await stored_receipts.StoredReceipts(migrated, "main").follow(book, book.transitions_since(0))
    assert await shown_of(book) == everything, "told, and killed before it was noted"
    await tell(migrated, book)
    assert await shown_of(book) == everything
    assert await shown_of(None) == sorted([*of_another_daemon, *of_another_daemon])
    stored = await stored_receipts.read_of_key(migrated, "w", most=3)
    told = receipt_records.of_key(stored, book, "w", limit=3)
    assert [one["state"] for one in told[1:]] == ["error", "open"]
