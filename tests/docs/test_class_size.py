"""No class of src has more than 12 attributes: what is more belongs to two nouns.

Counted is what a class keeps for each of its instances: names assigned to `self` in any method,
fields of a dataclass, `__slots__`. Rows and settings are told apart: their fields are columns of a
table, fields of somebody's API or settings in a file, and so are counted by those who made these.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
MOST = 12

# A class with one of these bases is a row or a set of settings, if no method of it assigns to self.
_ROW_BASES = frozenset({"msgspec.Struct", "Row", "records.Row", "BaseSettings"})
# Plain dataclasses that are the same, and of what.
ROWS = {
    "polymarket_sandbox/catalog.py: Market": "a row of Gamma's list of markets",
    "polymarket_sandbox/catalog.py: Event": "a row of Gamma's list of events",
    "polymarket_sandbox/portfolio.py: PositionBook": "the columns of all positions",
    "polymarket_sandbox/rows.py: Rows": "the columns of all rows",
    "polymarket_sandbox/options.py: SandboxOptions": "the flags of `polybackfill sandbox`",
}


@dataclass(frozen=True)
class Counted:
    """A class and what its instances keep."""

    name: str
    is_row: bool
    attributes: frozenset[str]


def _fields(body: list[ast.stmt]) -> Iterator[str]:
    """Annotated names of the class body, and those of `__slots__`."""
    for node in body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                if "ClassVar" not in ast.unparse(kind):
                    yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                yield from ast.literal_eval(value)
            case _:
                pass


def _assigned(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Attributes that the method assigns to its first argument."""
    arguments = [*method.args.posonlyargs, *method.args.args]
    for node in ast.walk(method):
        match node:
            case ast.Attribute(ctx=ast.Store(), value=ast.Name(id=owner), attr=name):
                if arguments and owner == arguments[0].arg:
                    yield name
            case _:
                pass


def count(node: ast.ClassDef, place: str) -> Counted:
    """What instances of a class keep."""
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    assigned = {name for method in methods for name in _assigned(method)}
    is_row = not assigned and any(ast.unparse(base) in _ROW_BASES for base in node.bases)
    name = f"{place}: {node.name}"
    return Counted(name, is_row or name in ROWS, frozenset({*_fields(node.body), *assigned}))


@functools.cache  # not when this module is imported, which each worker of pytest does
def classes() -> list[Counted]:
    return [
        count(node, path.relative_to(SRC).as_posix())
        for path in sorted(SRC.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]


def test_no_class_has_more_than_12_attributes() -> None:
    large = {
        one.name: len(one.attributes)
        for one in classes()
        if not one.is_row and len(one.attributes) > MOST
    }
    assert large == {}


def test_the_list_of_rows_is_no_longer_than_needed() -> None:
    large = {one.name for one in classes() if len(one.attributes) > MOST}
    assert ROWS.keys() <= large


def test_all_kinds_of_attributes_are_counted() -> None:
    source = """
class Small:
    __slots__ = ("slot",)
    shared: ClassVar[int] = 0
    field: int

    def __init__(self, other):
        self.plain = self.chained = 0
        self.typed: int = 0
        self.first, self.second = 0, 0
        other.foreign = 0

    async def later(self):
        self.late += 1
"""
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    assert count(node, "here").attributes == {
        *("slot", "field", "plain", "chained", "typed", "first", "second", "late")
    }
