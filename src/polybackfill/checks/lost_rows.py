"""Receipts beside the tables: of which units rows are gone that the store had acknowledged.

Every statement here reads the table of `receipt_table` and groups the others once, whatever the
number of units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from polybackfill import units as unit_names
from polybackfill.checks import list_checks, temporary_table
from polybackfill.kinds import key_source, registry
from polybackfill.store import client, query_files

_STORED = query_files.read("rows_by_key")
# A unit of several keys is expected as a whole: its receipt counts the rows of all of them.
_COUNTED = f"""AS SELECT unit, any(of_kind) AS kind, groupArray(3)(concat('0x', key)) AS keys,
    any(receipt.rows) AS counted, sum(stored.rows) AS stored_rows,
    stored_rows > counted OR max(stored.newest) > any(last) AS later
FROM (
    SELECT unit, kind, kind AS of_kind, key, rows, ifNull(last_second, 0) AS last FROM {{units}}
    WHERE state IN {{states}} AND (whole OR state = 'open') AND NOT partial
        AND kind IN ('conditions', 'wallets')
) AS receipt
LEFT JOIN ({_STORED}) AS stored USING (kind, key)
GROUP BY unit
"""
_SHORT = (
    "SELECT * EXCEPT later FROM {sums} WHERE stored_rows < counted "
    "ORDER BY counted - stored_rows DESC, keys"
)  # Rows that came later, by the other kind or by a walk of their own, would hide a loss. Of units
# whose keys have more rows or later ones than were counted, and of windows, those are counted of
# which the receipt speaks: inside its window, up to the last second that it saw.
_IN_TIME = f"""
SELECT unit, key, rows, ifNull(since, 0) AS first,
    least(ifNull(until, {2**62}), ifNull(last_second, {2**62})) AS last
FROM {{units}}
WHERE kind = '{{kind}}' AND state = 'done' AND NOT partial AND rows > 0 AND attempts <= {{attempts}}
    AND unit IN (SELECT unit FROM {{sums}} WHERE later UNION ALL {{windows}})
"""
# For every night the newest windows will do: each joins on to those before.
_NEWEST_WINDOWS = """
SELECT unit FROM {units} WHERE (key, until) IN (
    SELECT key, max(until) FROM {units}
    WHERE kind = '{kind}' AND state = 'done' AND NOT whole GROUP BY key)
"""
_ALL_WINDOWS = "SELECT unit FROM {units} WHERE NOT whole"
# The receipts are the smaller side, which the store keeps in memory.
_SHORT_IN_TIME = f"""
SELECT unit, '{{kind}}' AS kind, groupUniqArray(3)(concat('0x', key)) AS keys,
    any(receipt.rows) AS counted, countIf(here AND second BETWEEN first AND last) AS stored_rows
FROM (SELECT * FROM ({{rows}}) WHERE key IN (SELECT key FROM ({_IN_TIME}))) AS stored
RIGHT JOIN ({_IN_TIME}) AS receipt USING (key)
GROUP BY unit HAVING stored_rows < counted
ORDER BY counted - stored_rows DESC, keys
"""
_TRADES = """
SELECT {key} AS key, toInt64(toUnixTimestamp(trade_timestamp)) AS second, true AS here
FROM external_trades_raw
"""
_ROWS = {
    unit_names.CONDITIONS: _TRADES.format(key="condition_id"),
    unit_names.WALLETS: f"""
{_TRADES.format(key="wallet_address")}
UNION ALL
SELECT wallet_address AS key, toInt64(toUnixTimestamp(activity_timestamp)) AS second, true AS here
FROM wallet_activity_raw
""",
}
_SHOWN, _ALL = 1_000, 1_000_000_000

# A list of which units ended with rows, whose table is empty.
_EMPTIED = """
(SELECT count() FROM {units} WHERE state = 'done' AND rows > 0 AND kind IN ({kinds})) > 0
    AND (SELECT count() FROM {table}) = 0
"""
# Not compared by rows: units that were begun, or of which keys were forgotten, and rows that were
# set aside.
_NOT_COMPARED = """
SELECT DISTINCT unit FROM {units}
WHERE kind IN ('conditions', 'wallets') AND (state = 'open' OR (state = 'done' AND partial))
"""
_SET_ASIDE = "SELECT DISTINCT unit FROM {units} WHERE rejected > 0"
_TRADES_TABLES = frozenset({"external_trades_raw", "wallet_activity_raw"})
_LIST_KINDS: defaultdict[str, list[str]] = defaultdict(list)  # by the table of the rows
for _kind in registry.ALL:
    if isinstance(_kind.keys, key_source.WholeList):
        _LIST_KINDS[_kind.tables[0].stored].append(f"'{_kind.name}'")
_LIST_TABLES = frozenset({*_LIST_KINDS, "ingested_keys"})


@dataclass(frozen=True)
class Loss:
    """A unit of which rows are gone: its number in the table of receipts, and up to three keys."""

    unit: int
    kind: str
    keys: list[str]
    counted: int
    stored_rows: int

    @property
    def example(self) -> dict[str, Any]:
        """For people."""
        return {
            "kind": self.kind, "keys": self.keys, "counted": self.counted, "found": self.stored_rows
        }  # fmt: skip


async def short(
    store: client.Store,
    units: str,
    *,
    begun: bool = False,
    thorough: bool = False,
    limit: int = _SHOWN,
) -> list[Loss]:
    """Units of conditions and wallets of which the tables hold fewer rows than were counted, the
    worst first, `limit` of a sort at most. `units`: the table of receipts.

    `begun`: also units that have not ended. `thorough`: also windows of earlier nights and walks
    that were taken up again, which may have counted a row twice, so that one may be named that is
    whole.
    """
    states = "('done', 'open')" if begun else "('done')"
    windows = _ALL_WINDOWS if thorough else _NEWEST_WINDOWS
    short_units: dict[int, Loss] = {}
    counted = _COUNTED.format(units=units, states=states)
    async with temporary_table.create(store, counted, order="unit") as sums:
        statements = [_SHORT.format(sums=sums)]
        statements += [
            _SHORT_IN_TIME.format(
                units=units,
                sums=sums,
                kind=kind,
                rows=rows,
                windows=windows.format(units=units, kind=kind),
                attempts=_ALL if thorough else 1,
            )
            for kind, rows in _ROWS.items()
        ]
        for statement in statements:
            for row in await store.rows(f"{statement} LIMIT {limit}"):
                short_units.setdefault(row["unit"], Loss(**row))
    return list(short_units.values())


async def gone(
    store: client.Store, units: str, *, harmed: Collection[str]
) -> tuple[set[int], bool]:
    """Numbers of the units whose rows are not all there, and whether the lists must be read anew.

    `harmed`: tables that certainly have lost something: what cannot be compared counts as gone.
    """
    thorough = bool(_TRADES_TABLES & set(harmed))
    compared = await short(store, units, begun=True, thorough=thorough, limit=_ALL)
    gone_units = {loss.unit for loss in compared}
    declared = [kind.proof.lost_units for kind in registry.ALL]
    statements = [lost_units.format(units=units) for lost_units in declared if lost_units]
    if thorough:
        statements.append(_NOT_COMPARED.format(units=units))
    if "quarantine" in harmed:
        statements.append(_SET_ASIDE.format(units=units))
    for statement in statements:
        gone_units |= {row["unit"] for row in await store.rows(statement)}
    return gone_units, await _lists_lost(store, units) or bool(_LIST_TABLES & set(harmed))


async def _lists_lost(store: client.Store, units: str) -> bool:
    """Whether a row of a list that had landed is gone, or all of them are."""
    conditions = [f"(SELECT count() FROM ({list_checks.LOST})) > 0"]
    conditions += [
        _EMPTIED.format(units=units, kinds=", ".join(kinds), table=table)
        for table, kinds in _LIST_KINDS.items()
    ]
    (lists,) = await store.rows(f"SELECT {' OR '.join(conditions)} AS lost")
    return bool(lists["lost"])
