"""The files and modules that the documents name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "polybackfill"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
# First folder of a path → what the path is relative to.
ROOTS = (
    {name: ROOT for name in (".ci", ".github", "config", "docs", "examples", "src", "tests")}
    | {path.name: SRC for path in SRC.iterdir() if path.is_dir()}
    | {path.name: PACKAGE for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
)
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.]+(?:/[\w.]+)+/?")
DOTTED = re.compile(r"\b(?:polybackfill|chdb_http|polymarket_sandbox)(?:\.[A-Za-z_]\w*)+")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def named_paths(text: str) -> Iterator[Path]:
    """`engine/worker.py`, `engine/worker`, and the `kinds` behind it in the list of one cell."""
    for line in text.splitlines():
        for cell in line.split("|"):
            folder: Path | None = None
            for code in CODE.findall(cell):
                first = code.partition("/")[0]
                if PATH.fullmatch(code) and first in ROOTS:
                    folder = (ROOTS[first] / code).parent
                    yield ROOTS[first] / code
                elif PATH.fullmatch(code) and code.endswith((".py", ".sql", ".yml")):
                    yield ROOT / code  # a package that is no more
                elif folder is not None and line.startswith("| `") and code.isidentifier():
                    yield folder / code if is_there(folder / code) else PACKAGE / code


def is_there(path: Path) -> bool:
    return path.exists() or path.with_suffix(".py").exists()


def is_a_module_or_in_one(dotted: str) -> bool:
    path = SRC / dotted.replace(".", "/")
    if is_there(path):
        return True
    module = next((each for each in (path.parent / "__init__.py",) if each.exists()), None)
    module = module or path.parent.with_suffix(".py")
    return module.exists() and re.search(rf"\b{path.name}\b", module.read_text()) is not None


@each_page
def test_files_that_are_named_are_there(page):
    paths = named_paths(page.read_text(encoding="utf-8"))
    assert [str(path.relative_to(ROOT)) for path in paths if not is_there(path)] == []


@each_page
def test_modules_that_are_named_are_there(page):
    names = DOTTED.findall(page.read_text(encoding="utf-8"))
    # `polybackfill.service` is a file of systemd, `polybackfill.exe` … are none of ours.
    names = [name for name in names if not name.endswith((".service", ".timer", ".env"))]
    assert [name for name in names if not is_a_module_or_in_one(name)] == []


def test_the_design_names_enough_to_be_worth_checking():
    paths = list(named_paths((ROOT / "docs" / "design.md").read_text(encoding="utf-8")))
    assert len(paths) > 40
    assert PACKAGE / "engine" / "time_left" in paths
