"""docs/analytics.md says what the tag map is."""

from __future__ import annotations

from pathlib import Path

from polybackfill.store import taxonomy

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "analytics.md"


def test_the_categories_are_documented():
    """Seed 004, dimension build: a documented tag map with fixed priority."""
    rows = [
        line.strip("| ").split(" | ")
        for line in GUIDE.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| 1 ", "| 2 ", "| 3 ", "| 4 ", "| 5 ", "| 6 ", "| 7 ", "| 8 "))
    ]
    assert [name for _, name, _ in rows] == list(taxonomy.NAMES)
    for _, name, tags in rows[:-1]:
        assert tags == ", ".join(taxonomy.CATEGORIES[name])
