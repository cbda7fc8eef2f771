"""`demo --json`: one document on standard output, and nothing left behind."""

from __future__ import annotations

import pytest
from tests.commands import desk as desks

from polybackfill import errors


@pytest.mark.long
def test_the_proof_as_json(desk: desks.Desk) -> None:
    (desk.folder / "tmp").mkdir()
    desk.environment["TMPDIR"] = str(desk.folder / "tmp")
    desk.set(limit=1, skip=2, sleep_ms=60_000)  # bounds of the user's own runs
    report = desk.json("demo", "--trades", 3000, "--wallets", 50, "--markets", 50)
    assert len(report["proof"]) == 25
    assert [line["claim"] for line in report["proof"] if not line["holds"]] == []
    assert report["seconds"] < 90
    assert set(desks.tree(desk.folder)) == {"tmp"}


def test_a_universe_too_small_to_show_anything(desk: desks.Desk) -> None:
    told = desk.call("demo", "--wallets", 3, code=errors.EXIT_CONFIG)
    assert "--wallets 3" in told.err
