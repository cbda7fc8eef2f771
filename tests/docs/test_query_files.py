"""A long statement has a file of its own beside the schema, in src/polybackfill/store/queries."""

from __future__ import annotations

import ast
import re
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "polybackfill"
FOLDER = SRC / "store" / "queries"
# What is shorter is clearer beside the function that asks it.
MOST_LINES = 10
_SQL = re.compile(r"^\s*(WITH|SELECT|INSERT INTO|ALTER TABLE)\b", re.MULTILINE)
_READ = re.compile(r'query_files\.read\("(\w+)"\)')


def _long(source: str) -> list[int]:
    """Lines of the long statements in a module."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.strip().count("\n") >= MOST_LINES
        and _SQL.search(node.value)
    ]


def test_no_module_holds_a_long_statement() -> None:
    found = {
        f"{path.relative_to(SRC)}:{line}"
        for path in sorted(SRC.rglob("*.py"))
        for line in _long(path.read_text())
    }
    assert found == set()


def test_a_long_statement_would_be_found() -> None:
    statement = "SELECT a\n" + "    , b\n" * MOST_LINES + "FROM c"
    assert _long(f'x = 1\n_Q = """\n{statement}\n"""\n') == [2]


def test_each_file_is_read_by_one_module() -> None:
    readers: dict[str, list[str]] = {path.stem: [] for path in FOLDER.iterdir()}
    for path in sorted(SRC.rglob("*.py")):
        for name in _READ.findall(path.read_text()):
            readers[name].append(str(path.relative_to(SRC)))
    assert {name: who for name, who in readers.items() if len(who) != 1} == {}
