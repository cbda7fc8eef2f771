"""Every kind of unit, by its name, its part and its tables. Nobody else lists them."""

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
    {part: tuple(map(_load, modules)) for part, modules in kinds.MODULES.items()}
)
ALL: tuple[kind.Kind, ...] = tuple(one for of_part in PARTS.values() for one in of_part)
KINDS: Mapping[str, kind.Kind] = MappingProxyType({one.name: one for one in ALL})
TABLES: tuple[stored_table.StoredTable, ...] = tuple(
    dict.fromkeys(table for one in ALL for table in one.tables)
)
