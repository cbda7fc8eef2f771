"""docs/glossary.md is true: the code uses its terms, and none of the words that it bans."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "polybackfill"
PAGE = (ROOT / "docs" / "glossary.md").read_text()

# Names of modules that occur more than once, and why they mean the same.
SAME_MEANING = {
    "market_ids": "the command, its parser, and the ids in the store: all of `market-ids`",
    "watchlist": "the command, its parser, and the package of the list itself",
    "run": "the command, and the package of what a run is made of",
    "store": "the parser of the `store` commands and the package",
}


@dataclass(frozen=True)
class Name:
    """A name in the code. `what`: function, class, module, alias or variable."""

    text: str
    what: str
    path: Path


def _names_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, "function"
            case ast.ClassDef():
                yield node.name, "class"
            case ast.arg():
                yield node.arg, "variable"
            case ast.Name(ctx=ast.Store()):
                yield node.id, "variable"
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, "variable"
            case ast.alias(asname=str()):
                yield node.asname, "alias"
            case _:
                pass


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@functools.cache  # not when this module is imported, which each worker of pytest does
def _all_names() -> list[Name]:
    names: list[Name] = []
    for path in _modules():
        names.append(Name(path.stem, "module", path))
        names += [Name(*pair, path) for pair in _names_in(ast.parse(path.read_text()))]
    return names


def _words(name: str) -> str:
    """`WorkerPool`, `_worker_pool` and `worker pool` are the same words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\s_]+", spaced.strip("_ ").lower()))


def _rows() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|([^|]*)\|$", PAGE, re.MULTILINE)
    return [(term.strip(), never) for term, never in rows if term.strip() != "term"]


def _banned_names() -> frozenset[str]:
    listed = re.findall(r"`(\w+)`", " ".join(never for _, never in _rows()))
    variables = re.search(r"No variable is called `(\w+)`", PAGE)
    assert variables is not None
    return frozenset(map(_words, [*listed, variables[1]]))


def _banned_functions() -> frozenset[str]:
    sentence = re.search(r"No function is called ([^.]+)\.", PAGE)
    assert sentence is not None
    return frozenset(re.findall(r"`(\w+)`", sentence[1]))


def _shown(names: list[Name]) -> list[str]:
    return [f"{name.path.relative_to(ROOT)}: {name.what} {name.text}" for name in names]


def test_the_page_is_read() -> None:
    assert len(_rows()) > 30
    assert {"crew", "parcel", "found", "last steps"} <= _banned_names()
    assert {"of", "take", "whole"} <= _banned_functions()


def test_every_term_is_in_the_code() -> None:
    used = {f" {_words(name.text)} " for name in _all_names()}
    used |= {f" {text.rstrip('s ')} " for text in used}
    missing = [term for term, _ in _rows() if not any(f" {term} " in text for text in used)]
    assert missing == []


def test_no_banned_word_is_a_name() -> None:
    banned = _banned_names()
    assert _shown([name for name in _all_names() if _words(name.text) in banned]) == []


def test_functions_are_called_by_what_they_do() -> None:
    banned = _banned_functions()
    functions = [name for name in _all_names() if name.what == "function"]
    assert _shown([name for name in functions if name.text.strip("_") in banned]) == []


def test_a_module_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in _modules():
        module = path.parent if path.stem == "__init__" else path.with_suffix("")
        places[module.name].append(module.relative_to(PACKAGE.parent).as_posix())
    several = {name: paths for name, paths in places.items() if len(paths) > 1}
    unargued = {
        name: paths
        for name, paths in several.items()
        if name not in SAME_MEANING and not _is_a_command_and_its_parser(paths)
    }
    assert unargued == {}
    assert set(SAME_MEANING) <= set(several), "pairs that are none any more"


def _is_a_command_and_its_parser(paths: list[str]) -> bool:
    return len(paths) == 2 and all(
        path.startswith(("polybackfill/cli/", "polybackfill/commands/")) for path in paths
    )


def test_no_import_makes_a_plural() -> None:
    plurals: list[str] = []
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            for name in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                last = name.name.rpartition(".")[2]
                if name.asname in {f"{last}s", f"{last}es", f"{last.removesuffix('y')}ies"}:
                    plurals.append(f"{path.relative_to(ROOT)}: {name.name} as {name.asname}")
    assert plurals == []
