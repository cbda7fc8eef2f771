"""What a process that follows finds of the one before it."""

from __future__ import annotations

from pathlib import Path

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint, sweeps
from polybackfill.run import follow_sources


def test_the_rounds_of_an_earlier_process_are_replaced_too(tmp_path: Path) -> None:
    """Or each restart would leave the receipts of a round behind."""
    book = run_checkpoint.Checkpoint.open(tmp_path / "main")
    round_name = sweeps.follow_name(1_795_694_400)
    marked = [units.mark_key(wallet, round_name) for wallet in ("a", "b")]
    whole = units.mark_key("a", sweeps.name(1_795_694_400))
    for kind, key in (*(("positions", one) for one in marked), ("positions", whole)):
        unit = units.Unit(kind, (key,))
        book.finish(unit.id, book.begin(unit))
    assert follow_sources.find_marked("positions", book) == marked
    assert follow_sources.find_marked("wallets", book) == []
    book.close()
