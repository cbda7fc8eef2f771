"""Every kind of unit, loaded from the list in `kinds`: by its name, its part and its tables."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from polybackfill import kinds
from polybackfill.kinds import kind, stored_table


def _load(module: str) -> kind.Kind:
    # By name: a list of imports would name each kind a second time.
    loaded: kind.Kind = importlib.import_module(f"polybackfill.kinds.{module}").KIND
    return loaded


PARTS: Mapping[str, tuple[kind.Kind, ...]] = MappingProxyType(
    {part: tuple(_load(one.module) for one in listed) for part, listed in kinds.MODULES.items()}
)
ALL: tuple[kind.Kind, ...] = tuple(one for of_part in PARTS.values() for one in of_part)
KINDS: Mapping[str, kind.Kind] = MappingProxyType({one.name: one for one in ALL})
# Which kinds push keys to which.
UPSTREAM: Mapping[str, kinds.Listed] = MappingProxyType(
    {one.name: one for listed in kinds.MODULES.values() for one in listed}
)
TABLES: tuple[stored_table.StoredTable, ...] = tuple(
    dict.fromkeys(table for one in ALL for table in one.tables)
)
# Table → SQL of the newest tick among its rows.
VERSIONS: Mapping[str, str] = MappingProxyType(
    {table.stored: table.version for table in TABLES if table.version}
)
# Tables whose loss is noticed → whether one never holds fewer rows than before.
WATCHED: Mapping[str, bool] = MappingProxyType(
    {table.stored: table.grows for table in TABLES}
    | {table.noted_counts.table: False for table in TABLES if table.noted_counts}
)


def storing(table: str) -> frozenset[str]:
    """The kinds that bring rows of a table, by the name under which these are kept."""
    return frozenset(one.name for one in ALL if table in {kept.stored for kept in one.tables})


def find_followed(table: str) -> kind.Kind:
    """The kind that brings what is new in a table while a run follows."""
    return next(one for one in ALL if one.is_followed and one.name in storing(table))
