"""What a checkpoint remembers of its store: by it the next start sees whether rows may be gone.

`store_state.json` in the checkpoint folder, written when a run has begun and when it has ended. It
is lost without harm: then the receipts are compared with the tables.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from polybackfill import formats
from polybackfill.filesystem import sealed_json

FILE = "store_state.json"
_RENAMED = {  # schema 012
    "landed_keys": "ingested_keys",
    "landed_positions": "ingested_positions",
}


_AT = " at "


def name_at(table: str, location: str) -> str:
    """The name of a table's part on one server of a cluster."""
    return f"{table}{_AT}{location}"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of fetched rows.

    `least_rows`: it will never hold fewer; 0 where merges take rows away. `broken_parts`: how many
    of its parts the store has set aside because it could not read them.
    """

    uuid: str
    least_rows: int
    broken_parts: int


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    """The store as a run saw it.

    `clean_stop`: the token that the run left here and in the store when it ended, empty while it
    has not. `boot`: of the machine (embedded) or of the server; empty where that is not known.
    `tables`: by name, those of another server of a cluster by `name_at`.
    """

    clean_stop: str
    boot: str
    tables: dict[str, Table]


def read(folder: Path) -> StoreState | None:
    """What the last run wrote; None when there is nothing that can be believed."""
    state = sealed_json.read(folder / FILE, StoreState)
    if state is None:
        return None
    tables = {_RENAMED.get(name, name): table for name, table in state.tables.items()}
    return msgspec.structs.replace(state, tables=tables)


def awaits_comparison(folder: Path) -> bool:
    """Whether the last run of this checkpoint did not end cleanly, so that the next one compares
    its receipts with the tables. While a run is going on it has not ended.
    """
    if not os.access(folder / FILE, os.R_OK):  # of another user: not ours to say
        return False
    left = read(folder)
    return left is not None and not left.clean_stop


def write(folder: Path, state: StoreState) -> None:
    """Remember the state. Raises errors.Stop when the folder refuses."""
    sealed_json.write(folder / FILE, state)


@dataclass(frozen=True)
class Doubts:
    """Why rows that were acknowledged may be missing, in words. `harmed`: tables that certainly are
    not as they were left, of which nothing is believed that cannot be compared.
    """

    reasons: list[str]
    harmed: frozenset[str] = frozenset()


def doubts(before: StoreState | None, now: StoreState, *, token_known: bool) -> Doubts:
    """Compare what was left with what is there. `token_known`: the store holds `before`'s token."""
    if before is None:
        return Doubts(["there is no record of how the last run ended"])
    harm = changes(before, now)
    reasons = [f"{name} {what}" for name, what in harm.items()]
    harmed = {name.partition(_AT)[0] for name in harm}
    if not before.clean_stop:
        reasons.append("the last run did not end cleanly")
    elif not token_known:
        reasons.append("the store is older than the checkpoint")
        harmed |= {name.partition(_AT)[0] for name in before.tables}
    if before.boot != now.boot:
        reasons.append("the store's machine was restarted")
    return Doubts(reasons, frozenset(harmed))


def changes(before: StoreState, now: StoreState) -> dict[str, str]:
    """What became of tables that no run does to them, by table."""
    changed = {}
    for name, table in before.tables.items():
        left = now.tables.get(name)
        if left is None or left.uuid != table.uuid:
            changed[name] = "was made anew"
        elif left.least_rows < table.least_rows:
            changed[name] = (
                f"has {formats.counted(table.least_rows - left.least_rows, 'row')} less than before"
            )
        elif left.broken_parts > table.broken_parts:
            changed[name] = f"has {left.broken_parts - table.broken_parts} parts that are broken"
    return changed
