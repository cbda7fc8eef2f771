"""`polybackfill plan build`, `regenerate`, `show` and `reset`, and `check plan`."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polybackfill import errors, formats, guess, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import plan_sync
from polybackfill.filesystem import lock
from polybackfill.inputs import key_input
from polybackfill.polymarket import contracts
from polybackfill.reports import console_table
from polybackfill.run import bootstrap, name_resolution, reconcile, run_request, run_scope
from polybackfill.store import client, migrate, plan_table, query_files

WALLETS, CONDITIONS = "wallets", "conditions"
_PATH_CHARS = 256  # more is no path, and asking for it is an error

# Source table → (wallet expression, notional expression). Ids may carry 0x in the user's tables.
# Added up in millionths of a USD, because a sum of floats depends on the order of the parts, and
# wallets of equal notional would change places from day to day. No number counts as nothing.
_SOURCES = {
    "pm_trades": ("wallet_address", "collateral_amount"),
    "vw_trades_canonical": ("wallet_address", "usd_value"),
    "external_trades_raw": ("wallet_address", "cash_value"),
}
_RANKING = query_files.read("ranking_of_wallets")

# A listed key without a figure has 0 in the table, which says nothing.
_BY_STATUS = f"""
SELECT status, count() AS keys, countIf(is_unsized) AS unsized, countIf(is_unpriced) AS unpriced,
    if(unsized = keys, NULL, sum(trade_count)) AS trades,
    if(unpriced = keys, NULL, round(sum(usd), 2)) AS notional
FROM
(
    SELECT toString(status) AS status, trade_count, notional AS usd,
        {plan_table.IS_UNSIZED} AS is_unsized,
        notional = 0 AND {plan_table.IS_LISTED} AS is_unpriced
    FROM {{table}}
)
GROUP BY status ORDER BY status
"""


def build(arguments: argparse.Namespace) -> int:
    """Fill an empty plan, or add to one that is there; known keys keep rank and status."""
    chosen = bootstrap.settings_of(arguments)
    return _build(chosen, arguments)


def regenerate(arguments: argparse.Namespace) -> int:
    """Rank anew; the old plan stays as a backup table."""
    return _build(bootstrap.settings_of(arguments), arguments, regenerate_plan=True)


def _build(
    chosen: settings.Settings, arguments: argparse.Namespace, *, regenerate_plan: bool = False
) -> int:
    top, source = arguments.top, arguments.source
    if top is not None and top < 1:
        raise errors.Stop(f"--top {top}: take at least 1 wallet")
    typed_keys = None if source in _SOURCES else _read_list(chosen, source)
    report = bootstrap.run(
        _build_from(chosen, source, typed_keys, top=top, regenerate_plan=regenerate_plan)
    )
    return _print_built(report, as_json=arguments.json)


async def _build_from(
    chosen: settings.Settings,
    source: str,
    typed_keys: key_input.GivenKeys | None,
    *,
    top: int | None,
    regenerate_plan: bool,
) -> dict[str, Any]:
    """Rows read, left out and planned, by kind. `typed_keys`: of a file, None for a table."""
    with lock.hold(chosen.checkpoint_path):
        async with bootstrap.open_store(chosen, migrated=True) as store:
            # A plan that was dropped is a plan to be built anew.
            both = [table for table, _ in plan_table.TABLES.values()]
            await migrate.restore(store, only=both)
            keys = typed_keys or key_input.GivenKeys(wallets=await _ranked(store, source, top))
            report: dict[str, Any] = {"source": source, "excluded": keys.excluded}
            for kind, planned in ((WALLETS, keys.wallets), (CONDITIONS, keys.conditions)):
                rows = [_row(rank, key, source) for rank, key in enumerate(planned[:top], 1)]
                report[kind] = {"found": len(rows)}
                if rows:
                    report[kind] |= await _write(store, kind, rows, regenerate_plan)
                report[kind]["by_status"] = await plan_table.PlanTable(store).counts(kind)
            return {**report, "next": await run_scope.next_step(store)}


async def _write(
    store: client.Store, kind: str, rows: list[plan_table.PlanRow], regenerate_plan: bool
) -> dict[str, Any]:
    table = plan_table.PlanTable(store)
    before = sum((await table.counts(kind)).values())
    backup = None
    if regenerate_plan and before:
        stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
        backup = await _free_name(store, f"{plan_table.TABLES[kind][0]}_{stamp}")
        await table.regenerate(kind, rows, backup=backup)
    else:
        await table.add(kind, rows)
    after = sum((await table.counts(kind)).values())
    return {"added": after - before, "backup": backup}


async def _free_name(store: client.Store, name: str) -> str:
    """`name`, or with a number behind it when a table has it already."""
    rows = await store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    taken = {row["name"] for row in rows}
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


def _read_list(chosen: settings.Settings, source: str) -> key_input.GivenKeys:
    """The keys of a file, or of what was typed in the place of one."""
    path = Path(source)
    is_file = len(source) < _PATH_CHARS and path.is_file()
    entries = key_input.from_file(path) if is_file else _typed(source)
    keys = key_input.plan_keys(entries, name_resolution.resolve(chosen, entries))
    if not keys.wallets and not keys.conditions:
        raise errors.Stop(f"{source} contains no wallet and no condition id; write one per line")
    return keys


def _typed(source: str) -> list[key_input.Entry]:
    try:
        return key_input.typed(source)
    except errors.Stop as error:
        tables = ", ".join(sorted(_SOURCES))
        raise errors.Stop(
            f"--from {source}: neither a file nor one of {tables}, and it names no wallet and no "
            f"market{guess.near(source, _SOURCES)}"
        ) from error


async def _ranked(store: client.Store, source: str, top: int | None) -> list[key_input.PlannedKey]:
    wallet, value = _SOURCES[source]
    value = await _uninflated(store, source, value)
    excluded = ", ".join(f"'{contract}'" for contract in contracts.CONTRACTS)
    rows = await store.rows(
        _RANKING.format(
            wallet=wallet,
            value=value,
            table=source,
            contracts=excluded,
            limit="" if top is None else f"LIMIT {top}",
        )
    )
    if not rows:
        raise errors.Stop(
            f"{source} contains no trades, so there is nothing to rank: load it, or give a list "
            "with --from FILE, one wallet or condition id a line"
        )
    return [key_input.PlannedKey(row["key"], row["trade_count"], row["notional"]) for row in rows]


async def _uninflated(store: client.Store, source: str, value: str) -> str:
    """The value, divided where pm_trades says of a row that its source is inflated."""
    rows = await store.rows(
        "SELECT name FROM system.columns WHERE database = currentDatabase() "
        "AND table = 'pm_trades' AND name = 'data_source'"
    )
    if source != "pm_trades" or not rows:
        return value
    return f"{value} / if(toString(data_source) IN (SELECT source FROM inflated_sources), 128, 1)"


def _row(rank: int, planned: key_input.PlannedKey, source: str) -> plan_table.PlanRow:
    return plan_table.PlanRow(
        key=planned.key,
        priority_rank=rank,
        trade_count=planned.trade_count,
        notional=planned.notional,
        source=Path(source).name,
    )


def _print_built(report: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    for kind in (WALLETS, CONDITIONS):
        built = report[kind]
        counts = ", ".join(f"{count:,} {status}" for status, count in built["by_status"].items())
        print(f"{kind}: {built['found']:,} in {report['source']}, {built.get('added', 0):,} new")
        print(f"  now {counts}")
        if built.get("backup"):
            print(f"  the plan before: table {built['backup']}")
    if report["excluded"]:
        names = ", ".join(f"0x{key} ({contracts.CONTRACTS[key]})" for key in report["excluded"])
        print(f"left out, because they are contracts and not wallets: {names}")
    print(f"next: {report['next']}; what it costs: polybackfill plan estimate")
    return errors.EXIT_OK


def show(arguments: argparse.Namespace) -> int:
    """Status counts, the next keys, the newest errors."""
    if arguments.top < 1:
        raise errors.Stop(f"--top {arguments.top}: must be at least 1")
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    report = bootstrap.run(read(chosen, arguments.top))
    if arguments.json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    for name, part in report.items():
        counts = [
            {
                "status": row["status"],
                "keys": row["keys"],
                "expected trades": _expected(row["trades"], row["unsized"]),
                "expected notional": _expected(row["notional"], row["unpriced"]),
            }
            for row in part["by_status"]
        ]
        console_table.show(name, counts, "empty: polybackfill plan build --from FILE")
        first = [
            {
                "rank": row["priority_rank"],
                "key": row["key"],
                "expected trades": _expected(row["trade_count"]),
            }
            for row in part["next"]
        ]
        console_table.show("next", first, "nothing is pending" if counts else None)
        console_table.show("newest errors", part["errors"])
    return errors.EXIT_OK


def _expected(figure: float | None, unknown: int = 0) -> float | str:
    """A figure for a person, who must see that nobody knows it, or not that of so many keys."""
    if figure is None:
        return "unknown"
    return f"at least {formats.count(figure)}" if unknown else figure


async def read(chosen: settings.Settings, top: int = 10) -> dict[str, Any]:
    """Both plans: rows by status, the first `top` pending, the newest `top` errors. Figures that
    nobody knows are None; `unsized`, `unpriced`: how many keys a sum is without.
    """
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return {
            table: {
                "by_status": await store.rows(_BY_STATUS.format(table=table)),
                "next": await store.rows(
                    f"SELECT priority_rank, concat('0x', {key}) AS key, "
                    f"if({plan_table.IS_UNSIZED}, NULL, trade_count) AS trade_count FROM {table} "
                    f"WHERE status = 'pending' ORDER BY priority_rank, {key} LIMIT {top}"
                ),
                "errors": await store.rows(
                    f"SELECT concat('0x', {key}) AS key, attempts, error_message, last_run_at "
                    f"FROM {table} WHERE status = 'error' ORDER BY last_run_at DESC LIMIT {top}"
                ),
            }
            for table, key in plan_table.TABLES.values()
        }


def reset(arguments: argparse.Namespace) -> int:
    """Set units back to pending; refused while a run is going on."""
    chosen = bootstrap.settings_of(arguments)
    typed = run_request.keys(arguments, chosen)
    report = bootstrap.run(_reset(chosen, arguments, typed))
    if arguments.json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    for kind, count in report.items():
        print(f"{kind}: {count:,} set back to pending")
        if len(typed[kind]) > count:
            print(
                f"  {len(typed[kind]) - count:,} not in the plan: name them to `run` to fetch them"
            )
    return errors.EXIT_OK


async def _reset(
    chosen: settings.Settings, arguments: argparse.Namespace, typed: dict[str, list[str]]
) -> dict[str, int]:
    with lock.hold(chosen.checkpoint_path):
        async with bootstrap.open_store(chosen, migrated=True) as store:
            checkpoint = await reconcile.open_checkpoint(store, chosen.checkpoint_path)
            try:
                return {
                    kind: await _reset_kind(store, checkpoint, kind, arguments, keys)
                    for kind, keys in typed.items()
                    if keys or not (arguments.wallet or arguments.condition_id)
                }
            finally:
                checkpoint.close()


async def _reset_kind(
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint,
    kind: str,
    arguments: argparse.Namespace,
    keys: Sequence[str],
) -> int:
    """The plan first: a crash before the checkpoint follows leaves rows that were visibly set back,
    and those the next run takes for what they are."""
    if keys:
        updates = [plan_table.PlanUpdate(key, "pending") for key in keys]
        await plan_table.PlanTable(store).apply(kind, updates, now=int(time.time()))
        await plan_sync.forget(store, checkpoint, kind, keys)
        return await plan_table.PlanTable(store).planned(kind, keys)
    if arguments.all:
        return await plan_sync.set_back_all(store, checkpoint, kind)
    if arguments.stuck:
        return await plan_table.PlanTable(store).set_back(kind, ("in_progress",))
    failed = [
        key
        for failed_unit in checkpoint.failed_units()
        if failed_unit.unit.kind == kind
        for key in failed_unit.unit.keys
    ]
    count = await plan_table.PlanTable(store).set_back(kind, ("error",))
    await plan_sync.forget(store, checkpoint, kind, failed)
    return count


def check(arguments: argparse.Namespace) -> int:
    """Both plans by status, the next pending, the newest errors."""
    arguments.top = 10
    return show(arguments)
