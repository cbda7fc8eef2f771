"""A stored definition that no longer resolves: the start names it and the remedy, which works."""

from __future__ import annotations

from pathlib import Path

import pytest

from chdb_http import child_process
from polybackfill import clocks, errors
from polybackfill.store import client

MINE = """
CREATE TABLE mine (a UInt64, PROJECTION totals (SELECT a, sum(a) GROUP BY a),
    INDEX far abs(a) TYPE minmax)
ENGINE = MergeTree ORDER BY a
"""
VIEW = "CREATE VIEW seen AS SELECT abs(a) AS a FROM mine"


async def opened(folder: Path) -> client.Store:
    return await client.open(client.Address(data_dir=folder), clock=clocks.SystemClock())


def definition(folder: Path, name: str) -> Path:
    (found,) = (folder / "engine").rglob(f"{name}.sql")
    return found


async def test_a_definition_that_no_longer_resolves(tmp_path: Path) -> None:
    """As after a release of the engine that has given up a function."""
    store = await opened(tmp_path)
    for statement in (MINE, VIEW, "INSERT INTO mine SELECT number FROM numbers(3)"):
        await store.command(statement)
    await store.close()
    await child_process.wait_until_ended(tmp_path)
    table, view = (definition(tmp_path, name) for name in ("mine", "seen"))
    view.write_text(view.read_text().replace("abs(", "gone("))
    honest = table.read_text()
    # The engine reports the one itself, and writes the other to its log alone.
    for function in ("sum(a)", "abs(a)"):
        table.write_text(honest.replace(function, "gone(a)"))
        with pytest.raises(errors.Stop, match=r"default\.mine does not resolve .*gone") as refusal:
            await opened(tmp_path)
        assert refusal.value.exit_code == errors.EXIT_CONFIG
        assert f"Copy {table}" in str(refusal.value)
        said = str(refusal.value).replace(str(tmp_path), "")
        assert len(said) < 600, said
    table.write_text(honest)
    store = await opened(tmp_path)  # a view that does not resolve holds up nothing but itself
    assert await store.text("SELECT sum(a) FROM mine") == b"3\n"
    with pytest.raises(errors.GiveUp, match="gone"):
        await store.text("SELECT * FROM seen")
    await store.close()
