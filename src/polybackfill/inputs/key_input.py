"""Lists a person hands over: wallets and markets, typed or in files, checked line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polybackfill import errors, records
from polybackfill.inputs import list_files
from polybackfill.polymarket import contracts, names

_LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".lst", ".json", ".jsonl")
_TYPED = "command line"


@dataclass(frozen=True)
class PlannedKey:
    """One line of a plan: a key, and what is known of its size (0: nothing)."""

    key: str
    trade_count: int = 0
    notional: float = 0.0


@dataclass(frozen=True)
class GivenKeys:
    """Wallets and condition ids, lower case without 0x, in the order given and once each.

    `excluded`: exchange and token contracts that were asked for as if they were wallets.
    """

    wallets: list[PlannedKey] = field(default_factory=list)
    conditions: list[PlannedKey] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """One name that was given, where, and what was said of its size."""

    name: names.Name
    where: str
    trade_count: int = 0
    notional: float = 0.0

    @property
    def key(self) -> str | None:
        """The key that the name is, None when somebody has to be asked for it."""
        is_key = self.name.kind in (names.Kind.WALLET, names.Kind.CONDITION)
        return self.name.text if is_key else None


KeysByName = Mapping[names.Name, Sequence[str]]
"""The keys that names stand for."""


def wallets(given: Iterable[str]) -> list[Entry]:
    """Wallets of `--wallet`: repeated, comma lists, or paths of files with one a line.

    Raises errors.Stop (exit 78) naming the bad one, and its file and line.
    """
    return [
        _entry(text, where, list_files.WALLET) for text, where in _given(given, list_files.WALLET)
    ]


def conditions(given: Iterable[str]) -> list[Entry]:
    """Markets of `--condition-id`, given like wallets; errors.Stop likewise."""
    return [
        _entry(text, where, list_files.CONDITION)
        for text, where in _given(given, list_files.CONDITION)
    ]


def from_file(path: Path) -> list[Entry]:
    """A plan file: a wallet or market a line, then if known `,trade count,notional`.

    Raises errors.Stop (exit 78) naming the file and line of the first bad one.
    """
    entries = []
    for row in list_files.read(path):
        names_by_role = {role: text for role, text in row.names.items() if text}
        if not names_by_role:
            raise errors.Stop(f"{row.where}: no wallet and no market in this line")
        # Of a line with both, as of a table of trades, the size is neither's.
        sizes = (row.trade_count, row.notional) if len(names_by_role) == 1 else ()
        for role, text in names_by_role.items():
            entries.append(Entry(_entry(text, row.where, role).name, row.where, *sizes))
    return entries


def typed(text: str, where: str = _TYPED) -> list[Entry]:
    """Names in a comma list, wallets and markets; errors.Stop for what names nothing. `where`: what
    an error calls the place.
    """
    return [_entry(one.strip(), where, list_files.ANY) for one in text.split(",") if one.strip()]


def resolve_keys(entries: Iterable[Entry], known: KeysByName) -> list[str]:
    """The keys of the entries, in order and once each. `found` holds the names that are no keys."""
    keys = (key for entry in entries for key in _keys(entry, known))
    return list(dict.fromkeys(keys))


def plan_keys(entries: Iterable[Entry], known: KeysByName) -> GivenKeys:
    """The entries as lines of a plan; of an event nobody knows the size of each market."""
    keys = GivenKeys()
    seen: set[str] = set()
    for entry in entries:
        several = _keys(entry, known)
        for key in several:
            if key in seen:
                continue
            seen.add(key)
            is_wallet = entry.name.kind in names.WALLETS
            sizes = (entry.trade_count, entry.notional) if len(several) == 1 else ()
            if key in contracts.CONTRACTS:
                keys.excluded.append(key)
            else:
                (keys.wallets if is_wallet else keys.conditions).append(PlannedKey(key, *sizes))
    return keys


def without_contracts(wallets_given: Iterable[str]) -> tuple[list[str], list[str]]:
    """Wallets to fetch, and the contracts among them that are left out."""
    keys = list(wallets_given)
    kept = [wallet for wallet in keys if wallet not in contracts.CONTRACTS]
    return kept, [wallet for wallet in keys if wallet in contracts.CONTRACTS]


def _keys(entry: Entry, known: KeysByName) -> Sequence[str]:
    return known[entry.name] if entry.key is None else (entry.key,)


def _entry(text: str, where: str, role: str) -> Entry:
    """What a text names. Raises errors.Stop where that is nothing, or nothing of this role."""
    name = names.read(text)
    if name is not None and (role == list_files.ANY or name.kind in _ROLES[role][0]):
        return Entry(name, where)
    if role == list_files.ANY:
        raise errors.Stop(
            f"{where}: {text!r} is not a wallet or a market. A wallet is 0x and 40 hex digits, "
            "or @NAME; a market is 0x and 64 hex digits, its number, its slug, or its page of "
            "polymarket.com"
        )
    _, parse, others = _ROLES[role]
    try:
        parse(text)
    except errors.Stop as error:
        raise errors.Stop(f"{where}: {error}; or {others}") from error
    raise errors.Stop(f"{where}: {text!r} is not what is asked for here")


# What names a key of a role, who says what is wrong with another text, and what else may stand
# there.
_ROLES = {
    list_files.WALLET: (
        names.WALLETS,
        records.parse_wallet,
        "@NAME, or the address of a profile's page",
    ),
    list_files.CONDITION: (
        names.CONDITIONS,
        records.parse_condition,
        "a market's number, slug or page",
    ),
}


def _given(given: Iterable[str], role: str) -> Iterator[tuple[str, str]]:
    for argument in given:
        path = Path(argument)
        if len(argument) < 256 and path.is_file():
            for row in list_files.read(path):
                yield _text_for_role(row, role), row.where
        elif _looks_like_file(argument.split(",", maxsplit=1)[0]):
            raise errors.Stop(
                f"{argument}: no such file; give a file with one id a line, or the id"
            )
        else:
            for text in argument.split(","):
                if text.strip():
                    yield text.strip(), _TYPED


def _looks_like_file(argument: str) -> bool:
    if names.is_page(argument):
        return False
    return "/" in argument or argument.lower().endswith(_LIST_SUFFIXES)


def _text_for_role(row: list_files.Row, role: str) -> str:
    text = row.names.get(role) or row.names.get(list_files.ANY, "")
    if not text:
        raise errors.Stop(
            f"{row.where}: no {role} in this line; a column of them may be called "
            f"{', '.join(list_files.usual_names(role))}"
        )
    return text
