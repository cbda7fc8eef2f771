"""Small files of the checkpoint: what is damaged is lost, never believed, and never a traceback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polybackfill import errors, units
from polybackfill.checkpoint import run_checkpoint, store_state, sweeps
from polybackfill.filesystem import lock
from polybackfill.watchlist import watchlist_file

NOW = 1_800_000_000.0
STATE = store_state.StoreState(
    clean_stop="9f0c",
    boot="b1",
    tables={"trades": store_state.Table(uuid="u", least_rows=7, broken_parts=0)},
)


ENTRY = watchlist_file.Entry(
    strategy_id="s",
    market_id="7",
    condition_id=None,
    side=None,
    reason="r",
    added_at="2026-01-01T00:00:00Z",
)


def _damaged(content: bytes, flips: int = 400) -> Iterator[bytes]:
    """What a disk may make of it: nothing, zeros, a part, something else, one bit."""
    yield from (b"", b"\0" * len(content), content[: len(content) // 2], content[:-1] + b"x")
    yield from (b"[]", b"null", b"{}", b"7", b"\xff\xfe", b"[" * 10_000)
    rng = random.Random(1)
    for _ in range(flips):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content) - 1)] ^= 1 << rng.randrange(8)
        yield bytes(flipped)


def test_a_damaged_reading_begins_anew(tmp_path: Path) -> None:
    known = sweeps.Sweeps(tmp_path)
    known.begin("clob", sweeps.name(NOW))
    assert sweeps.Sweeps(tmp_path).current("clob") == sweeps.name(NOW)
    for content in _damaged((tmp_path / sweeps.FILE).read_bytes()):
        (tmp_path / sweeps.FILE).write_bytes(content)
        found = sweeps.Sweeps(tmp_path)
        assert found.current("clob") is None
    found.begin("clob", sweeps.name(NOW + 1))
    assert sweeps.Sweeps(tmp_path).current("clob") == sweeps.name(NOW + 1)


def test_a_damaged_memory_of_the_store_is_none(tmp_path: Path) -> None:
    store_state.write(tmp_path, STATE)
    assert store_state.read(tmp_path) == STATE
    for content in _damaged((tmp_path / store_state.FILE).read_bytes()):
        (tmp_path / store_state.FILE).write_bytes(content)
        assert store_state.read(tmp_path) is None


def _owner(folder: Path) -> None:
    lock.holder(folder)


def _entries(folder: Path) -> None:
    watchlist_file.Watchlist(folder).entries()


@pytest.mark.parametrize(
    ("name", "read"), [("owner.json", _owner), (watchlist_file.LIST_FILE, _entries)]
)
def test_what_cannot_be_read_is_told_in_words(
    tmp_path: Path, name: str, read: Callable[[Path], None]
) -> None:
    with lock.hold(tmp_path):
        watchlist_file.Watchlist(tmp_path).add([ENTRY])
        for content in _damaged((tmp_path / name).read_bytes()):
            (tmp_path / name).write_bytes(content)
            try:
                read(tmp_path)
            except errors.Stop as stop:
                assert name in str(stop)  # noqa: PT017  (most damage is survived)


async def _checkpoint(folder: Path) -> None:
    book = run_checkpoint.Checkpoint.open(folder, segment_units=2)
    for key in ("a", "b", "c"):
        unit = units.Unit("wallets", (key,))
        book.finish(unit.id, book.begin(unit))
    await book.fold()
    book.begin(units.Unit("wallets", ("d",)))
    await book.sync()
    book.close()


def test_a_damaged_checkpoint_is_told_in_words(tmp_path: Path) -> None:
    """Bytes that are no text, too, in what is read before a checksum is compared."""
    asyncio.run(_checkpoint(tmp_path))
    for path in [*tmp_path.glob("*.json*"), *tmp_path.glob("done-*")]:
        whole = path.read_bytes()
        for content in _damaged(whole, flips=60):
            path.write_bytes(content)
            try:
                assert len(list(run_checkpoint.Checkpoint.view(tmp_path).receipts())) <= 3
            except errors.Stop as stop:
                assert str(tmp_path) in str(stop)  # noqa: PT017  (most damage is survived)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "told", "harmed"),
    [
        ({}, "", False),
        ({"clean_stop": ""}, "did not end cleanly", False),
        ({"boot": "b0"}, "was restarted", False),
        ({"tables": {"trades": ("other", 7, 0)}}, "trades was made anew", True),
        ({"tables": {"trades": ("u", 9, 0)}}, "2 rows less", True),
        ({"tables": {"gone": ("u", 0, 0)}}, "gone was made anew", True),
        ({"tables": {"trades": ("u", 7, -1)}}, "1 parts that are broken", True),
    ],
)
def test_why_rows_may_be_missing(change: dict[str, object], told: str, *, harmed: bool) -> None:
    fields = {"clean_stop": STATE.clean_stop, "boot": STATE.boot, "tables": STATE.tables} | change
    if "tables" in change:
        fields["tables"] = {
            name: store_state.Table(uuid=uuid, least_rows=rows, broken_parts=broken)
            for name, (uuid, rows, broken) in change["tables"].items()  # type: ignore[attr-defined]
        }
    before = store_state.StoreState(**fields)  # type: ignore[arg-type]
    doubts = store_state.doubts(before, STATE, token_known=True)
    assert told in "; ".join(doubts.reasons)
    assert bool(doubts.reasons) == bool(told)
    assert bool(doubts.harmed) == harmed


def test_a_token_the_store_lacks_makes_every_table_suspect() -> None:
    doubts = store_state.doubts(STATE, STATE, token_known=False)
    assert doubts.harmed == {"trades"}
    assert store_state.doubts(None, STATE, token_known=False).reasons
