"""Refuse statements that reach files, other hosts or programs, whoever sends them.

Two walls, because neither closes every door alone: the engine's own rights (`engine_config`), which
refuse `file()`, `url()`, `s3()` and their like, and this check of the words of a statement, for
what those rights do not cover in an embedded engine: the scalar function `file`, `INTO OUTFILE`,
databases of other hosts, engines over a folder.

A statement whose words could mean something to the engine that they do not mean here is refused:
the price is a `file` that must be written `t.file`, never an opened door.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from chdb_http import statements

SYNTAX_ERROR, SUPPORT_IS_DISABLED, READONLY = 62, 344, 164
# The setting by which a running statement is found and ended; the engine itself makes no use of it.
MARK = "chdb_client_name"

# Functions and table functions that need no right of the engine's. A function may be named without
# being called: `arrayMap(file, paths)`, `* APPLY file`.
_FUNCTIONS = frozenset({"file", "eval", "python", "arrowstream", "executable", "filesystem"})
_ENGINES = frozenset(
    {
        # of tables
        "mergetree", "replacingmergetree", "summingmergetree", "aggregatingmergetree",
        "collapsingmergetree", "versionedcollapsingmergetree", "graphitemergetree",
        "coalescingmergetree", "null", "memory", "log", "tinylog", "stripelog", "set", "join",
        "buffer", "merge", "view", "materializedview", "generaterandom", "alias",
        # of databases
        "atomic", "ordinary",
    }
)  # fmt: skip
# After a column that is called `engine`, where a table's engine has none of these.
_AFTER_COLUMN = frozenset(
    {
        "from", "as", "in", "like", "ilike", "not", "and", "or", "is", "desc", "asc", "between",
        "then", "else", "end", "when", "where", "group", "order", "limit", "having", "using", "on",
        "union", "format", "settings", "global", "comment", "string", "lowcardinality", "nullable",
    }
)  # fmt: skip
_NAMES = "|".join(sorted(_FUNCTIONS))
_WORTH_A_LOOK = re.compile(
    rf"outfile|infile|engine|disk|identifier|{MARK}|;|\\|[^\x00-\x7f]|{_NAMES}", re.IGNORECASE
)
_FUNCTION_BYTES = re.compile(_NAMES.encode(), re.IGNORECASE)
# As ClickHouse's Lexer.cpp cuts a statement, seen at version 26.9.
_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*|//[^\n]*|\#[!\ ][^\n]*)
    |(?P<comment>/\*)
    |(?P<string>'(?:[^'\\]|\\.|'')*+')
    |(?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<quoted>"(?:[^"\\]|\\.|"")*+"|`(?:[^`\\]|\\.|``)*+`)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


class Refused(Exception):
    """The statement is not passed on; `code` is ClickHouse's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Token(NamedTuple):
    """`name`: what an identifier or a keyword says in small letters, '' for anything else."""

    text: str
    name: str = ""


def check(sql: str, parameters: Mapping[str, str]) -> None:
    """Raise Refused for a statement that reaches beyond the store, or that is more than one.

    `parameters`: the values of its `{name:Type}`.
    """
    if _WORTH_A_LOOK.search(sql):
        tokens = [*_tokens(sql)]
        _check_tokens(tokens)
        _check_identifiers(tokens, parameters)


def names_function(text: memoryview) -> bool:
    """Whether rows could call a function of files, were they taken for expressions."""
    return _FUNCTION_BYTES.search(text) is not None


def require_reading(sql: str) -> None:
    """Raise Refused for a statement that a GET must not carry.

    The engine's `readonly` covers tables, but neither KILL QUERY nor SYSTEM.
    """
    if statements.first_word(sql) not in (*statements.READS, "FROM", "VALUES"):
        raise Refused(
            READONLY,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
            "readonly. You should use method POST for modifying queries",
        )


def split(sql: str) -> list[str]:
    """The statements of a script, cut at the `;` between them; rows behind an INSERT's `FORMAT`
    belong to it as they are, to the end."""
    found: list[str] = []
    begin = 0
    for at, token in _placed(sql):
        if token.text != ";":
            continue
        if statements.data_insert(sql[begin:]) is not None and not statements.inserts_values(
            sql[begin:]
        ):
            break
        found.append(sql[begin:at])
        begin = at + 1
    found.append(sql[begin:])
    return [one.strip() for one in found if _has_words(one)]


def _has_words(sql: str) -> bool:
    return next(_placed(sql), None) is not None


def _check_tokens(tokens: list[Token]) -> None:
    makes = any(token.name in ("create", "attach", "replace") for token in tokens)
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else Token("")
        behind = tokens[at + 1] if at + 1 < len(tokens) else Token("")
        if token.text == ";" and any(later.text != ";" for later in tokens[at + 1 :]):
            raise Refused(SYNTAX_ERROR, "Syntax error: Multi-statements are not allowed")
        if (before.name, token.name) in (("into", "outfile"), ("from", "infile")):
            raise _closed(f"{before.text} {token.text}")
        if token.name == MARK or (token.name in _FUNCTIONS and not _is_column(before, behind)):
            raise _closed(token.text)
        if (token.name, behind.text) == ("disk", "("):  # made before its rights are looked at
            raise _closed(token.text)
        if makes and token.name == "engine":
            following = tokens[at + 2] if behind.text == "=" and at + 2 < len(tokens) else behind
            _check_engine(following, named=behind.text == "=")


def _check_identifiers(tokens: list[Token], parameters: Mapping[str, str]) -> None:
    """A `{name:Identifier}` may become a function. In a view it does so later, with the value of
    whoever reads the view.
    """
    texts = [token.text for token in tokens]
    named = [
        texts[at + 1]
        for at, token in enumerate(tokens[:-3])
        if (token.text, texts[at + 2], tokens[at + 3].name) == ("{", ":", "identifier")
    ]
    words = {token.name for token in tokens}
    if named and "view" in words and words & {"create", "attach", "replace", "alter"}:
        raise _closed(f"{{{named[0]}:Identifier}} in a view")
    for name in (text.strip('"`') for text in named):
        value = parameters.get(name, "")
        is_plain = name.isidentifier() and "\\" not in value
        if not is_plain or value.strip(' "`').lower() in _FUNCTIONS:
            raise _closed(f"{{{name}:Identifier}} = {value}")


def _is_column(before: Token, behind: Token) -> bool:
    """`t.file`, `file String`, `SELECT size, file FROM`; anything else could be a function."""
    if before.text == ".":
        return True
    return behind.name not in ("", "as") and before.name != "apply"


def _check_engine(engine: Token, *, named: bool) -> None:
    if not engine.name or engine.name in _ENGINES:
        return
    if named or engine.name not in _AFTER_COLUMN:
        raise _closed(f"ENGINE = {engine.text}")


def _closed(what: str) -> Refused:
    return Refused(
        SUPPORT_IS_DISABLED,
        f"{what} is not allowed here: the embedded store touches no files and no other hosts. "
        "(A column of that name is written with its table before it: t.file)",
    )


def _tokens(sql: str) -> Iterator[Token]:
    for _, token in _placed(sql):
        yield token


def _placed(sql: str) -> Iterator[tuple[int, Token]]:
    """Each token and where it begins; Refused for what cannot be told apart for sure."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        assert match is not None  # noqa: S101 - `other` matches any character
        begin, at = at, match.end()
        kind, text = match.lastgroup, match.group()
        if kind == "tag":
            kind = "heredoc"
        if kind == "comment":
            at = _comment_end(sql, at)
        elif kind == "word":
            yield begin, Token(text, text.lower())
        elif kind == "quoted":
            if "\\" in text:
                raise Refused(SYNTAX_ERROR, f"an identifier with a backslash: {text}")
            yield begin, Token(text, text[1:-1].lower())
        elif kind == "other" and not text.isascii():
            # The engine takes some of them for quotes, others for blanks.
            raise Refused(SYNTAX_ERROR, f"Syntax error: unexpected character {text!r}")
        elif kind != "blank":
            yield begin, Token(text)


def _comment_end(sql: str, at: int) -> int:
    """Comments nest."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(sql, at)
        if edge is None:
            return len(sql)
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at
