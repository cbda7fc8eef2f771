"""A kind of unit has one home: its module in `kinds`, its migration, its documents.

Four kinds are held to that by their names. Conditions, wallets, markets and events are what the
whole program is about, and the order book is a host, too: these are held to it by their modules.

What counts as naming a kind is what would have to follow if it were renamed: an identifier that is
its name (`resolutions.build_query`), a string that is its name, its name in quotes inside a string
(SQL: `kind = 'positions'`), and a command to type (`polybackfill run user-stats`). Not counted are
prose, since positions and resolutions are English words; names of tables and columns
(`api_resolutions`, `by_resolutions`), which are uses of the data; addresses of the API
(`/v2/positions`), which are Polymarket's; and the schema, where migrations stand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from polybackfill import kinds
from polybackfill.kinds import key_source, proof, registry
from polybackfill.store import plan_table

PACKAGE = Path(__file__).parents[2] / "src" / "polybackfill"
SCHEMA = PACKAGE / "store" / "schema"
LIST = "kinds/__init__.py"  # of all kinds, and what feeds on what
MOST_PLACES = 2  # beside its home, the list included
NAMED_FOR_MORE = ("clob", "markets", "events", "conditions", "wallets")


def _docstrings(tree: ast.AST) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }


def _texts(tree: ast.AST) -> Iterator[str]:
    docstrings = _docstrings(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield text
            case _:
                pass


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.alias(name=name):
                yield name.rpartition(".")[2]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Attribute(attr=name):
                yield name
            case _:
                pass


def names(source: str, kind: str) -> bool:
    """Whether a module names a kind."""
    tree, module = ast.parse(source), kind.replace("-", "_")
    command = re.compile(rf"polybackfill run [a-z -]*\b{re.escape(kind)}\b")
    return module in set(_identifiers(tree)) or any(
        text in {kind, module} or f"'{kind}'" in text or command.search(text)
        for text in _texts(tree)
    )


def _imports(source: str, kind: str) -> bool:
    """Whether a module imports the one of a kind."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "polybackfill.kinds"
        and kind.replace("-", "_") in {one.name for one in node.names}
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize("kind", [one.name for one in registry.ALL])
def test_a_kind_is_named_in_its_home_and_in_two_more_places(kind: str) -> None:
    home = f"kinds/{kind.replace('-', '_')}.py"
    is_place = _imports if kind in NAMED_FOR_MORE else names
    places = {
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if is_place(path.read_text(), kind)
    }
    places |= {home, LIST}
    if kind in NAMED_FOR_MORE:  # kinds share what they have in common
        places = {one for one in places if not one.startswith("kinds/")} | {home, LIST}
    assert len(places - {home}) <= MOST_PLACES, sorted(places)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from polybackfill.kinds import resolutions", True),
        ("x = 'resolutions'", True),
        ("x = \"SELECT 1 FROM units WHERE kind = 'resolutions'\"", True),
        ("x = 'try polybackfill run markets resolutions'", True),
        ("def resolutions(): ...", True),
        ("kinds.resolutions.build_query()", True),
        ('"""The resolutions."""\nx = "SELECT by_resolutions FROM api_resolutions"', False),
        ("x = '/v2/resolutions?condition=…'", False),
        ("x = 'three resolutions disagree'", False),
    ],
)
def test_what_counts_as_a_name(source: str, expected: bool) -> None:
    assert names(source, "resolutions") is expected


def test_every_module_is_a_kind_of_the_list() -> None:
    listed = [one.module for several in kinds.MODULES.values() for one in several]
    declaring = {
        path.stem
        for path in (PACKAGE / "kinds").glob("*.py")
        if re.search(r"^KIND = ", path.read_text(), re.MULTILINE)
    }
    assert sorted(listed) == sorted(declaring)
    assert [one.name.replace("-", "_") for one in registry.ALL] == listed


@pytest.mark.parametrize("kind", registry.ALL, ids=lambda kind: kind.name)
def test_a_kind_declares_what_others_read(kind: registry.kind.Kind) -> None:
    """What nobody would miss until it is wanted."""
    known = set(registry.KINDS)
    _, ready, ended = registry.UPSTREAM[kind.name]
    assert {*ready, *ended} <= known - {kind.name}
    assert isinstance(kind.keys, key_source.PlanTable) == (kind.name in plan_table.TABLES)
    assert isinstance(kind.proof, proof.WholePlan) == (kind.name in plan_table.TABLES)
    if isinstance(kind.keys, key_source.WholeList):
        assert not kind.key_flag, "of a whole list no key is typed"
        assert isinstance(kind.proof, proof.NewestSweep)
        assert not kind.needed_for, "a planned list reads no whole list"
    elif kind.is_followed:
        assert not kind.key_flag, "who follows follows everything"
        assert not kind.needed_for, "and no planned list"
        assert isinstance(kind.proof, proof.TimeSpan)
        assert ended, "it begins when the past is read"
    else:
        assert kind.needed_for
        assert set(kind.needed_for) <= set(plan_table.TABLES)
    is_noted = isinstance(kind.keys, key_source.WholeList) or (
        kind.is_followed and kind.tables[0].noted_key
    )
    if kind.name not in plan_table.TABLES and not is_noted:
        assert "{units}" in kind.proof.lost_units, "a loss of its rows would not be seen"
    assert kind.tables
    assert kind.requests(1, None) >= 1


@pytest.mark.parametrize("table", registry.TABLES, ids=lambda table: table.stored)
def test_a_table_of_rows_is_watched(table: registry.stored_table.StoredTable) -> None:
    schema = "\n".join(path.read_text() for path in sorted(SCHEMA.glob("*.sql")))
    for name in {table.inserted, table.stored, table.shown}:
        assert re.search(rf"CREATE (TABLE|VIEW|OR REPLACE VIEW).*\b{name}\b", schema), name
    assert table.grows or table.version, "of two rows of a key nobody would know the newer"
    assert table.grows or table.noted_key or table.noted_counts, "a loss would not be seen"
    fields = {field for row in table.rows for field in row.__struct_fields__}
    assert {one for one in fields if not re.search(rf"^\s+{one} ", schema, re.MULTILINE)} == set()


def test_what_feeds_on_what_has_no_circle() -> None:
    """Or two kinds would wait for each other for ever."""
    waits = {name: {*ready, *ended} for name, (_, ready, ended) in registry.UPSTREAM.items()}
    while waits:
        free = {name for name, upstream in waits.items() if not upstream & waits.keys()}
        assert free, f"these wait for each other: {sorted(waits)}"
        waits = {name: upstream for name, upstream in waits.items() if name not in free}
