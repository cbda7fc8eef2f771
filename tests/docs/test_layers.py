"""docs/design.md draws the layers that `lint-imports` checks, and they name every module."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "polybackfill"
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
BOX = re.compile(r'^    (layer\d+)\["(.+)"\]$', re.MULTILINE)
# They stand in no layer: `__init__` is the package itself.
OUTSIDE = {"__init__"}


def boxes() -> dict[str, list[str]]:
    return {box: names.split(" · ") for box, names in BOX.findall(PAGE)}


def test_every_module_and_package_is_in_one_layer():
    drawn = [name for names in boxes().values() for name in names]
    there = {path.stem for path in PACKAGE.glob("*.py")}
    there |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == there - OUTSIDE


def test_arrows_lead_from_the_top_to_the_bottom_through_every_layer():
    (arrows,) = [line.split(" --> ") for line in PAGE.splitlines() if " --> layer" in line]
    assert [name.strip() for name in arrows] == list(boxes())
    assert boxes()["layer0"] == ["__main__"]
