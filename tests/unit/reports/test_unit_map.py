"""The map of a checkpoint: cells, the receipts behind them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.reports import unit_map


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[run_checkpoint.Checkpoint]:
    opened = run_checkpoint.Checkpoint.open(tmp_path / "main")
    yield opened
    opened.close()


def begin(
    checkpoint: run_checkpoint.Checkpoint, *keys: str, kind: str = "wallets"
) -> tuple[str, int]:
    unit = units.Unit(kind, keys)
    return unit.id, checkpoint.begin(unit)


def finish(checkpoint: run_checkpoint.Checkpoint, *keys: str, kind: str = "wallets") -> None:
    checkpoint.finish(*begin(checkpoint, *keys, kind=kind), step=units.Counts(rows=5, pages=1))


def fail(checkpoint: run_checkpoint.Checkpoint, key: str, error: str) -> None:
    checkpoint.fail(*begin(checkpoint, key), error)


def letters(row: dict[str, list[dict[str, int]]]) -> str:
    """A row as text: d, e, o, m for each key."""
    return " ".join("".join(state[0] * cell[state] for state in cell) for cell in row["cells"])


def test_cells_are_in_the_order_in_which_keys_ended(checkpoint: run_checkpoint.Checkpoint) -> None:
    finish(checkpoint, "a")
    fail(checkpoint, "b", "answered 400")
    finish(checkpoint, "c", "d")
    begin(checkpoint, "e")
    drawn = unit_map.draw_map(checkpoint, {"wallets": 6, "clob": 0})
    assert letters(drawn["wallets"]) == "d e d d o m"
    assert drawn["clob"]["cells"] == []


def test_a_cell_stands_for_many_keys_and_names_their_units(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    for number in range(100):
        finish(checkpoint, f"w{number}")
    fail(checkpoint, "w100", "answered 400")
    row = unit_map.draw_map(checkpoint, {"wallets": 130})["wallets"]
    assert row["step"] == 3
    assert letters(row).split()[33] == "dem"
    cell = unit_map.units_of_cell(checkpoint, "wallets", row["step"], 33)
    found = cell["receipts"]
    assert cell["more"] == 0
    assert [one["state"] for one in found] == ["done", "error"]
    assert found[1]["error"] == "answered 400"


def test_the_newest_sweep_of_a_list_is_drawn_alone(checkpoint: run_checkpoint.Checkpoint) -> None:
    for sweep in ("2026-11-28", "2026-11-29"):
        finish(checkpoint, units.mark_key("0..1000", sweep), kind="clob")
    finish(checkpoint, units.mark_key("1000..2000", "2026-11-29"), kind="clob")
    row = unit_map.draw_map(checkpoint, {"clob": 3})["clob"]
    assert letters(row) == "d d m"
    (found,) = unit_map.units_of_cell(checkpoint, "clob", 1, 1)["receipts"]
    assert found["keys"] == [units.mark_key("1000..2000", "2026-11-29")]


def test_of_a_cell_with_many_units_the_first_are_listed_and_the_rest_counted(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    for number in range(unit_map.UNITS_SHOWN + 7):
        finish(checkpoint, f"w{number}")
    cell = unit_map.units_of_cell(checkpoint, "wallets", 1_000, 0)
    assert len(cell["receipts"]) == unit_map.UNITS_SHOWN
    assert cell["more"] == 7


def test_what_is_followed_is_drawn_by_time_and_a_gap_is_seen(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    for key in ("1000..1119", "1100..1179", "1240..1299"):
        finish(checkpoint, key, kind="recent-trades")
    row = unit_map.draw_map(checkpoint, {"recent-trades": 1})["recent-trades"]
    assert (row["step"], row["since"], len(row["cells"])) == (5, 1000, 60)
    states = "".join("d" if cell["done"] else "m" for cell in row["cells"])
    assert states == "d" * 36 + "m" * 12 + "d" * 12
    of_cell = unit_map.units_of_cell(checkpoint, "recent-trades", 5, 21)
    assert [one["keys"] for one in of_cell["receipts"]] == [["1000..1119"], ["1100..1179"]]
    assert unit_map.units_of_cell(checkpoint, "recent-trades", 5, 40)["receipts"] == []
    assert unit_map.draw_map(checkpoint, {"new-markets": 1})["new-markets"]["cells"] == []


def test_what_is_read_again_while_a_run_follows_changes_no_map(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    finish(checkpoint, "a@20261129T100000Z", kind="positions")
    finish(checkpoint, "b@20261129T100000Z", kind="positions")
    finish(checkpoint, "a@20261129T110000Z-follow", kind="positions")
    assert letters(unit_map.draw_map(checkpoint, {"positions": 2})["positions"]) == "d d"
    assert len(unit_map.units_of_cell(checkpoint, "positions", 1, 0)["receipts"]) == 1
