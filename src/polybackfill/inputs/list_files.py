"""Files that list wallets and markets: one a line, CSV of any delimiter, JSON, with header or not.

What ClickHouse, pandas, Dune, Excel and Gamma write is read as it is: a byte order mark, CRLF,
quotes, semicolons and tabs, NaN and \\N for what is not known, columns in any order under the names
that are about. Blank lines and `#` comments are skipped.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from polybackfill import errors

WALLET, CONDITION, ANY = "wallet", "condition", "any"
_TRADES, _NOTIONAL = "trade count", "notional"
# Role of a column → what it may be called, the surest first; only letters and digits count.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    WALLET: ("proxywallet", "walletaddress", "wallet", "address", "useraddress", "user", "trader",
             "account", "owner", "walletaddressnorm"),
    CONDITION: ("conditionid", "condition", "conditionidnorm", "marketcid", "marketid",
                "marketslug", "market", "slug", "eventslug", "event"),
    ANY: ("url", "link", "marketurl", "eventurl", "profileurl", "key", "name", "username",
          "profile", "id"),
    _TRADES: ("tradecount", "trades", "numtrades", "totaltrades", "fills", "count"),
    _NOTIONAL: ("notional", "notionalusd", "totalnotional", "volume", "volumeusd", "totalvolume",
                "usdvalue", "usd", "value"),
}  # fmt: skip
_KNOWN = frozenset(name for names in _COLUMNS.values() for name in names)
_POSITIONS = {ANY: 0, _TRADES: 1, _NOTIONAL: 2}
_DELIMITERS = ",;\t|"
_COMMENT = re.compile(r"(?:^|\s)#.*")
_QUOTED = re.compile(r'"[^"]*"')
_ID = re.compile(r"(?:0x)?(?:[0-9a-f]{40}|[0-9a-f]{62}|[0-9a-f]{64})", re.IGNORECASE)
_UNKNOWN = frozenset({"", "nan", "null", "none", "n/a", "na", "\\n", "-"})
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?")
# More than anything there is, and still exact in the columns of the plan.
_MOST = {_TRADES: 1e12, _NOTIONAL: 1e15}


@dataclass(frozen=True)
class Row:
    """One line. `names`: what stands in the columns that name something, by role."""

    where: str
    names: Mapping[str, str]
    sizes: Mapping[str, str]

    @property
    def trade_count(self) -> int:
        """0 when it is not known. Raises errors.Stop for what no count can be."""
        return int(self._size(_TRADES))

    @property
    def notional(self) -> float:
        """USD; 0 when it is not known. Raises errors.Stop for what no sum can be."""
        return self._size(_NOTIONAL)

    def _size(self, role: str) -> float:
        text = self.sizes.get(role, "").strip()
        bare = text.lstrip("$").strip()
        if bare.lower() in _UNKNOWN:
            return 0.0
        if _THOUSANDS.fullmatch(bare):
            bare = bare.replace(",", "")
        try:
            number = float(bare)
        except ValueError as error:
            raise errors.Stop(
                f"{self.where}: after the id come trade count and notional, as numbers: {text}"
            ) from error
        if not (math.isfinite(number) and 0 <= number <= _MOST[role]):
            raise errors.Stop(
                f"{self.where}: the {role} cannot be {text}: give a number from 0 to "
                f"{_MOST[role]:,.0f}, or leave it empty when it is not known"
            )
        return number


def read(path: Path) -> Iterator[Row]:
    """The rows of a file. Raises errors.Stop (exit 78) naming the file, and the line."""
    text = _text(path)
    if text.lstrip()[:1] in {"{", "["}:
        yield from _json_rows(path, text)
        return
    lines = list(_without_comments(re.split(r"\r\n|\n|\r", text)))
    first = next((line for line in lines if line.strip()), "")
    csv.field_size_limit(sys.maxsize)  # descriptions of markets are long
    reader = csv.reader(lines, delimiter=_delimiter(first), skipinitialspace=True)
    columns: Mapping[str, int] | None = None
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            where = f"{path}, line {reader.line_num}"
            if columns is None and _is_header(cells):
                columns = _columns(cells)
                continue
            columns = columns or _POSITIONS
            yield _row(where, columns, cells)
    except csv.Error as error:
        raise errors.Stop(f"{path}, line {reader.line_num}: {error}") from error


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        # What Excel calls Unicode text is UTF-16.
        is_wide = content[:2] in {b"\xff\xfe", b"\xfe\xff"}
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Stop(f"{path} cannot be read: {error}") from error


def _without_comments(lines: Iterable[str]) -> Iterator[str]:
    """A # in quotes, or in an address, begins no comment."""
    is_quoted = False
    for line in lines:
        if not is_quoted and line.lstrip().startswith("#"):
            yield ""
            continue
        is_quoted ^= line.count('"') % 2 == 1
        yield line if is_quoted or '"' in line else _COMMENT.sub("", line)


def _delimiter(line: str) -> str:
    bare = _QUOTED.sub("", line)
    return max(_DELIMITERS, key=bare.count)


def _is_header(cells: Sequence[str]) -> bool:
    plain = {_plain(cell) for cell in cells}
    return bool(plain & _KNOWN) and not any(_ID.fullmatch(cell.strip()) for cell in cells)


def _columns(names: Sequence[str]) -> dict[str, int]:
    """Role → the number of its column."""
    plain = [_plain(name) for name in names]
    columns = {}
    for role, known in _COLUMNS.items():
        column = next((plain.index(name) for name in known if name in plain), None)
        if column is not None:
            columns[role] = column
    if WALLET in columns or CONDITION in columns:
        columns.pop(ANY, None)  # the name of a market beside its condition
    return columns


def _row(where: str, columns: Mapping[str, int], cells: Sequence[str]) -> Row:
    texts = {
        role: cells[column].strip() if column < len(cells) else ""
        for role, column in columns.items()
    }
    names = {role: texts[role] for role in (WALLET, CONDITION, ANY) if role in texts}
    return Row(where, names, {role: texts.get(role, "") for role in (_TRADES, _NOTIONAL)})


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    for where, item in _json_items(path, text):
        if isinstance(item, dict):
            names = list(item)
            yield _row(where, _columns(names), [_shown(item[name]) for name in names])
        else:
            yield _row(where, _POSITIONS, [_shown(item)])


def _json_items(path: Path, text: str) -> Iterator[tuple[str, object]]:
    """The items of an array, of an object that holds one, or of JSON lines."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                where = f"{path}, line {number}"
                try:
                    yield where, orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise errors.Stop(f"{where}: no JSON: {error}") from error
        return
    if isinstance(document, dict):
        document = next(
            (value for value in document.values() if isinstance(value, list)), [document]
        )
    for number, item in enumerate(document, 1):
        yield f"{path}, item {number}", item


def _shown(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def usual_names(role: str) -> tuple[str, ...]:
    """What a column may be called, for people."""
    return ("wallet", "address", "proxyWallet") if role == WALLET else (
        "condition_id", "market", "slug", "url",
    )  # fmt: skip
