"""Every system that the seeds name is named by the tests that show what it must hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = ROOT.parent / "shared" / "seed-systems.md"
ROW = re.compile(r"^\| (?P<system>[^|]+?) \| (?P<seeds>00\d[^|]*?) \| [^|]+ \|$", re.MULTILINE)
NAMED = re.compile(r"Seed (\d{3}), ([^:]+):")

pytestmark = pytest.mark.skipif(not SYSTEMS.exists(), reason="the list of systems is not here")


def rows() -> dict[str, set[str]]:
    """System → keys of its seeds, as the list's last section has them."""
    text = SYSTEMS.read_text(encoding="utf-8").partition("\n## 9. ")[2]
    return {row["system"]: set(re.findall(r"\d{3}", row["seeds"])) for row in ROW.finditer(text)}


def named() -> Iterator[tuple[str, str]]:
    """(seed, system) of every `Seed NNN, system:` in a test's docstring."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = " ".join((ast.get_docstring(node) or "").split())
                if node.name.startswith("test_"):
                    yield from NAMED.findall(docstring)


def test_every_system_has_tests_that_name_it() -> None:
    wanted, found = rows(), set(named())
    assert len(wanted) == 28
    untested = [
        system for system, seeds in wanted.items() if not any((s, system) in found for s in seeds)
    ]
    assert untested == []


def test_no_test_names_a_system_that_is_none() -> None:
    wanted = rows()
    strange = {(seed, system) for seed, system in named() if seed not in wanted.get(system, ())}
    assert strange == set()
