"""Reading a ClickHouse HTTP request: what is SQL, what is data, what is a setting.

The HTTP interface lets a statement come in the URL, in the body, or as the first line of a body
whose rest is data (https://clickhouse.com/docs/interfaces/http, read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# A statement is looked for in this much of a body; what follows is data and is never decoded.
HEAD_BYTES = 65_536

# Statements that change nothing: they may be cancelled, and repeated.
READS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"})

# URL parameters of the HTTP interface that are not settings of the engine.
_TRANSPORT = frozenset(
    {
        "query", "database", "default_format", "query_id", "session_id", "session_timeout",
        "session_check", "compress", "decompress", "user", "password", "quota_key", "stacktrace",
        "buffer_size", "wait_end_of_query", "client_protocol_version", "role",
    }
)  # fmt: skip

# Possessive, so that no odd beginning makes the search long.
_NOISE = r"(?:\s|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+"
_FIRST_WORD = re.compile(_NOISE + r"\(*\s*([A-Za-z]+)", re.DOTALL)
_INSERT_HEAD = re.compile(
    _NOISE + r"INSERT\s+INTO\s+(?:\([^()]*\)|(?!\b(?:VALUES|SELECT|WITH|FORMAT|WATCH)\b)[^(])*",
    re.DOTALL | re.IGNORECASE,
)
_INSERT_FORMAT = re.compile(r"\s*FORMAT\s+(\w+)[ \t]*;?(?:\r?\n|[ \t]|$)", re.IGNORECASE)
_INSERT_VALUES = re.compile(r"\s*VALUES\s*;?\s*$", re.IGNORECASE)
_SETTINGS_CLAUSE = re.compile(r"\bSETTINGS\b", re.IGNORECASE)
_TRAILING_FORMAT = re.compile(
    r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\s+[^()]*)?;?\s*$", re.IGNORECASE | re.DOTALL
)
_KILL_ONE = re.compile(
    _NOISE + r"KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*'([^'\\]*)'\s*(?:SYNC|ASYNC)?\s*;?\s*$",
    re.IGNORECASE | re.DOTALL,
)


# Literals, quoted names and comments: what stands in them is no SQL.
_TEXTS = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|--[^\n]*|/\*.*?\*/""", re.DOTALL
)
_WHERE = re.compile(r"\bWHERE\b", re.IGNORECASE)

_LITERAL = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
)


@dataclass(frozen=True)
class Insert:
    """An INSERT whose rows come as bytes: `head` up to the settings, their clause, the format."""

    head: str
    settings: str
    format: str

    def from_file(self, path: str, compression: str | None) -> str:
        """The same INSERT, reading its rows from a file the engine opens itself."""
        packed = f" COMPRESSION {quoted(compression)}" if compression else ""
        return (
            f"{self.head} FROM INFILE {quoted(path)}{packed} {self.settings} FORMAT {self.format}"
        )


def quoted(text: str) -> str:
    """A SQL string literal."""
    return f"'{text.translate(_LITERAL)}'"


def first_word(sql: str) -> str:
    """The verb of a statement in capitals, '' when there is none."""
    match = _FIRST_WORD.match(sql)
    return match.group(1).upper() if match else ""


def split(sql: str) -> list[str]:
    """The statements of a text, as they stand between semicolons; an INSERT with its rows is one,
    whatever the rows hold.
    """
    if first_word(sql) == "INSERT" and data_insert(sql) is not None:
        return [sql]
    bare = _TEXTS.sub(_blanked, sql)
    ends = [*(at for at, char in enumerate(bare) if char == ";"), len(bare)]
    begins = [0, *(at + 1 for at in ends[:-1])]
    return [
        sql[begin:end].strip()
        for begin, end in zip(begins, ends, strict=True)
        if bare[begin:end].strip()
    ]


def with_where(sql: str) -> str:
    """The statement; an UPDATE without a condition, which ClickHouse refuses, changes every row."""
    if first_word(sql) != "UPDATE":
        return sql
    bare = _TEXTS.sub(_blanked, sql).rstrip()
    end = len(bare) - 1 if bare.endswith(";") else len(bare)
    if _WHERE.search(bare) or ";" in bare[:end]:
        return sql
    return f"{sql[:end]}\nWHERE true{sql[end:]}"


def _blanked(text: re.Match[str]) -> str:
    """As long as before: a comment as blanks, any other text as a name."""
    is_comment = text.group().startswith(("--", "/*"))
    return (" " if is_comment else "x") * len(text.group())


def data_insert(sql: str) -> tuple[Insert, int] | None:
    """The INSERT at the start of `sql` and the index where its data begin; None for other SQL.

    `INSERT INTO t` and `INSERT INTO t VALUES` without rows mean the format Values, as on a server.
    """
    head = _INSERT_HEAD.match(sql)
    if head is None:
        return None
    named = _INSERT_FORMAT.match(sql, head.end())
    if named is not None:
        return _insert(head.group(0), named.group(1)), named.end()
    if _INSERT_VALUES.match(sql, head.end()) or head.end() == len(sql):
        return _insert(head.group(0).rstrip().rstrip(";"), "Values"), len(sql)
    return None


def _insert(head: str, row_format: str) -> Insert:
    clause = _SETTINGS_CLAUSE.search(head)
    if clause is None:
        return Insert(head.strip(), "", row_format)
    return Insert(head[: clause.start()].strip(), head[clause.start() :].strip(), row_format)


def inserts_values(sql: str) -> bool:
    """An INSERT that carries its rows as SQL text."""
    head = _INSERT_HEAD.match(sql)
    return head is not None and sql[head.end() :].lstrip()[:6].upper() == "VALUES"


def output_format(sql: str, default: str) -> str:
    """The format a result will have: the FORMAT clause at the end, else the default."""
    match = _TRAILING_FORMAT.search(sql)
    return match.group(1) if match else default


def into_file(sql: str, path: str, result_format: str) -> str:
    """A SELECT that writes its result to `path`."""
    bare = _TRAILING_FORMAT.sub("", sql).rstrip().rstrip(";")
    return f"{bare}\nINTO OUTFILE {quoted(path)} TRUNCATE FORMAT {result_format}"


def killed_query(sql: str) -> str | None:
    """The id named by `KILL QUERY WHERE query_id = '…'`, None for any other statement."""
    match = _KILL_ONE.match(sql)
    return match.group(1) if match else None


def settings(params: Mapping[str, str]) -> dict[str, str]:
    """The engine's settings among URL parameters.

    Raises ValueError for a name that is no identifier.
    """
    found = {}
    for name, value in params.items():
        if name in _TRANSPORT or name.startswith("param_"):
            continue
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"not a setting name: {name!r}")
        found[name] = value
    return found


def query_parameters(params: Mapping[str, str]) -> dict[str, str]:
    """`param_x=…` of the URL as the values of `{x:Type}`."""
    return {
        name.removeprefix("param_"): value
        for name, value in params.items()
        if name.startswith("param_")
    }
