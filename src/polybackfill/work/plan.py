"""Lists a person hands over: wallets and condition ids, typed or in files, checked line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from polybackfill import errors, records
from polybackfill.polymarket import contracts

_WALLET_DIGITS = 40


@dataclass(frozen=True)
class Planned:
    """One line of a plan: a key, and what is known of its size (0: nothing)."""

    key: str
    trade_count: int = 0
    notional: float = 0.0


@dataclass(frozen=True)
class Keys:
    """Wallets and condition ids, lower case without 0x, in the order given and once each.

    `excluded`: exchange and token contracts that were asked for as if they were wallets.
    """

    wallets: list[Planned] = field(default_factory=list)
    conditions: list[Planned] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)


def wallets(given: Iterable[str]) -> list[str]:
    """Wallets of `--wallet`: repeated, comma lists, or paths of files with one a line.

    Raises errors.Stop (exit 78) naming the bad one, and its file and line.
    """
    return _once(_parse(records.parse_wallet, text, where) for text, where in _entries(given))


def conditions(given: Iterable[str]) -> list[str]:
    """Condition ids of `--condition-id`, given like wallets; errors.Stop likewise."""
    return _once(_parse(records.parse_condition, text, where) for text, where in _entries(given))


def from_file(path: Path) -> Keys:
    """A plan file: a wallet or condition id a line, then if known `,trade count,notional`.

    Blank lines and `#` comments are skipped. Raises errors.Stop (exit 78) naming the file and line
    of the first bad one.
    """
    keys = Keys()
    seen: set[str] = set()
    for text, where in _lines(path):
        name, *sizes = (column.strip().strip('"') for column in text.split(","))
        wallet = len(name.lower().removeprefix("0x")) <= _WALLET_DIGITS
        key = _parse(records.parse_wallet if wallet else records.parse_condition, name, where)
        if key in seen:
            continue
        seen.add(key)
        if key in contracts.CONTRACTS:
            keys.excluded.append(key)
        else:
            (keys.wallets if wallet else keys.conditions).append(_sized(key, sizes, where))
    return keys


def _sized(key: str, sizes: list[str], where: str) -> Planned:
    try:
        trade_count, notional = (float(text) for text in (*sizes, "0", "0")[:2])
    except ValueError as error:
        raise errors.Stop(
            f"{where}: after the id come trade count and notional, as numbers: {','.join(sizes)}"
        ) from error
    return Planned(key, int(trade_count), notional)


def without_contracts(found: Iterable[str]) -> tuple[list[str], list[str]]:
    """Wallets to fetch, and the contracts among them that are left out."""
    asked = list(found)
    kept = [wallet for wallet in asked if wallet not in contracts.CONTRACTS]
    return kept, [wallet for wallet in asked if wallet in contracts.CONTRACTS]


def _parse(parse: Callable[[str], str], text: str, where: str) -> str:
    try:
        return parse(text)
    except errors.Stop as error:
        raise errors.Stop(f"{where}: {error}") from error


def _entries(given: Iterable[str]) -> Iterator[tuple[str, str]]:
    for argument in given:
        path = Path(argument)
        if len(argument) < 256 and path.is_file():
            for line, where in _lines(path):
                yield line.split(",", 1)[0].strip().strip('"'), where
        elif "/" in argument or argument.endswith((".txt", ".csv", ".lst")):
            raise errors.Stop(
                f"{argument}: no such file; give a file with one id a line, or the id"
            )
        else:
            for text in argument.split(","):
                if text.strip():
                    yield text.strip(), "command line"


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Stop(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(content.splitlines(), 1):
        text = line.split("#", 1)[0].strip().rstrip(",")
        if text:
            yield text, f"{path}, line {number}"


def _once(keys: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(keys))
