"""The newest receipts, in the order the help promises."""

from __future__ import annotations

from pathlib import Path

from tests import virtual_clock

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.reports import receipt_records

KEYS = [letter * 40 for letter in "abcd"]


def test_the_newest_are_last_whatever_became_of_them(tmp_path: Path) -> None:
    clock = virtual_clock.VirtualClock()
    book = run_checkpoint.Checkpoint.open(tmp_path / "run", clock=clock)
    failed, first, under_way, last = (units.Unit(units.WALLETS, (key,)) for key in KEYS)
    for unit in (failed, first, under_way, last):
        clock.pass_by(60)
        attempt = book.begin(unit)
        if unit is failed:
            book.fail(unit.id, attempt, "x")
        elif unit is not under_way:
            book.finish(unit.id, attempt)

    def newest(limit: int) -> list[str]:
        told = receipt_records.newest(book, kind=None, keys=(), limit=limit)
        assert told["found"] == 4
        return [one["keys"][0][2:] for one in told["receipts"]]

    assert newest(9) == KEYS
    assert newest(1) == KEYS[3:]
    book.close()
