"""What a kind must have brought before it is called complete, and which of its units lost rows.

`lost_units` is SQL of the numbers of finished units whose rows are gone, with `{units}` for the
table of receipts; "" where `checks.lost_rows` compares the rows themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_KEYS = "SELECT '' AS key WHERE false"
# Finished units of a kind of which fewer keys are in a table than must be.
_LOST_BY_KEY = """
SELECT unit FROM {{units}} WHERE kind = '{kind}' AND state = 'done' AND rows > 0
GROUP BY unit
HAVING countIf(key IN (SELECT {column} FROM {table})) < {least}
"""


@dataclass(frozen=True, slots=True)
class NewestSweep:
    """Every unit of the newest sweep of a list has ended."""

    lost_units: str = ""


@dataclass(frozen=True, slots=True)
class WholePlan:
    """Every key of its plan table has a receipt for its whole history."""

    lost_units: str = ""


@dataclass(frozen=True, slots=True)
class EachKey:
    """Every key that `keys` selects (a column `key`) has a receipt, or is `settled`: its row is
    final, and needs no newer one. `is_optional`: a run may leave all of it out.
    """

    keys: str
    settled: str = NO_KEYS
    is_optional: bool = False
    lost_units: str = ""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Every second since it was first followed lies in a finished window."""

    lost_units: str = ""


Proof = TimeSpan | NewestSweep | WholePlan | EachKey


def find_lost_by_key(kind: str, column: str, table: str, *, least: str) -> str:
    """SQL of the finished units with rows of which fewer than `least` keys are in a table."""
    return _LOST_BY_KEY.format(kind=kind, column=column, table=table, least=least)
