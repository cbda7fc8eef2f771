"""Plans: one row per key with its current status, at every moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polybackfill import errors
from polybackfill.store import client, plan_table

NOW = 1_790_000_000


def wallet(number: int) -> str:
    return f"{number:040x}"


def planned(*numbers: int, first_rank: int = 1) -> list[plan_table.PlanRow]:
    return [
        plan_table.PlanRow(wallet(number), rank, trade_count=number, notional=float(number))
        for rank, number in enumerate(numbers, first_rank)
    ]


def done(number: int, **changes: Any) -> plan_table.PlanUpdate:
    given = {"status": "done", "last_run_at": NOW, "attempts": 1, **changes}
    return plan_table.PlanUpdate(wallet(number), **given)


@pytest.fixture
def plans(migrated: client.Store) -> plan_table.PlanTable:
    return plan_table.PlanTable(migrated)


async def loaded(plans: plan_table.PlanTable, kind: str = "wallets", **how: Any) -> list[str]:
    return [row.key async for chunk in plans.load(kind, **how) for row in chunk]


async def test_pending_keys_come_in_order_of_rank(plans: plan_table.PlanTable) -> None:
    await plans.add("wallets", planned(5, 3, 9, 1))
    await plans.apply("wallets", [done(3)], now=NOW)
    expected = [wallet(number) for number in (5, 9, 1)]
    assert await loaded(plans) == expected
    assert await loaded(plans, chunk=1) == expected
    assert await loaded(plans, statuses=("done",)) == [wallet(3)]


async def test_keys_of_one_rank_are_all_loaded(plans: plan_table.PlanTable) -> None:
    await plans.add("conditions", [plan_table.PlanRow(f"{n:064x}", 1) for n in range(7)])
    assert len(await loaded(plans, "conditions", chunk=2)) == 7


async def test_an_update_shows_at_once_and_only_where_it_belongs(
    plans: plan_table.PlanTable, migrated: client.Store
) -> None:
    await plans.add("wallets", planned(1, 2, 3))
    message = "it's a\ttab, a {brace}, a \\ and\na line"
    failed = done(2, status="error", error_message=message, attempts=4)
    await plans.apply("wallets", [done(1, status="in_progress", last_run_at=None), failed], now=NOW)
    rows = await migrated.rows(
        "SELECT toString(status) AS status, error_message, attempts, "
        "toUnixTimestamp(last_run_at) AS ran FROM wallet_backfill_plan ORDER BY priority_rank"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("in_progress", "", 1, None),
        ("error", message, 4, NOW),
        ("pending", "", 0, None),
    ]


async def test_of_several_updates_of_a_key_the_last_counts(plans: plan_table.PlanTable) -> None:
    await plans.add("wallets", planned(1))
    await plans.apply("wallets", [done(1, status="error"), done(1)], now=NOW)
    assert (await plans.counts("wallets"))["done"] == 1


async def test_a_status_that_is_none_is_refused(plans: plan_table.PlanTable) -> None:
    await plans.add("wallets", planned(1))
    with pytest.raises(errors.BackfillError):
        await plans.apply("wallets", [done(1, status="finished")], now=NOW)


async def test_a_select_never_shows_a_key_twice_or_not_at_all(
    plans: plan_table.PlanTable, migrated: client.Store
) -> None:
    await plans.add("wallets", planned(*range(1, 2001)))

    async def change() -> None:
        for first in range(1, 2001, 400):
            updates = [done(number) for number in range(first, first + 400)]
            await plans.apply("wallets", updates, now=NOW)

    changing = asyncio.create_task(change())
    sql = "SELECT count() AS n, uniqExact(wallet_address) AS wallets FROM wallet_backfill_plan"
    while not changing.done():
        assert await migrated.rows(sql) == [{"n": 2000, "wallets": 2000}]
    await changing
    assert (await plans.counts("wallets"))["done"] == 2000


async def test_new_keys_stand_behind_and_new_figures_count(
    plans: plan_table.PlanTable, migrated: client.Store
) -> None:
    await plans.add("wallets", [plan_table.PlanRow(wallet(1), 1, 10, 5.0, source="list")])
    await plans.apply("wallets", [done(1)], now=NOW)
    more = [
        plan_table.PlanRow(wallet(2), 1, 7, 0.0, source="more"),
        plan_table.PlanRow(wallet(1), 2, 12, 0.0, source="more"),
        plan_table.PlanRow(wallet(3), 3, source="more"),
    ]
    for _ in range(2):
        await plans.add("wallets", more)
        rows = await migrated.rows(
            "SELECT wallet_address, priority_rank, trade_count, notional, toString(status) "
            "FROM wallet_backfill_plan ORDER BY priority_rank"
        )
        assert [tuple(row.values()) for row in rows] == [
            (wallet(1), 1, 12, 5, "done"),
            (wallet(2), 2, 7, 0, "pending"),
            (wallet(3), 3, 0, 0, "pending"),
        ]
    (listed,) = [rows async for rows in plans.load("wallets")]
    assert [row.expected_rows for row in listed] == [7, None], "0 is said of no key"


async def test_adding_known_keys_changes_nothing(plans: plan_table.PlanTable) -> None:
    await plans.add("wallets", planned(1, 2))
    await plans.apply("wallets", [done(1)], now=NOW)
    await plans.add("wallets", planned(2, 1, 3, 3, first_rank=10))
    assert await plans.counts("wallets") == {
        "pending": 2, "in_progress": 0, "done": 1, "error": 0,
    }  # fmt: skip
    assert await loaded(plans) == [wallet(2), wallet(3)]


async def test_a_plan_ranked_anew_keeps_status_and_history(
    plans: plan_table.PlanTable, migrated: client.Store
) -> None:
    await plans.add("wallets", planned(1, 2, 3, 4))
    failed = done(3, status="error", error_message="gone", attempts=5)
    await plans.apply("wallets", [done(1), failed], now=NOW)
    await plans.regenerate("wallets", planned(9, 3, 1), backup="wallet_backfill_plan_before")
    rows = await migrated.rows(
        "SELECT wallet_address AS wallet, priority_rank AS rank, toString(status) AS status, "
        "error_message, attempts FROM wallet_backfill_plan ORDER BY priority_rank"
    )
    assert [tuple(row.values()) for row in rows] == [
        (wallet(9), 1, "pending", "", 0),
        (wallet(3), 2, "error", "gone", 5),
        (wallet(1), 3, "done", "", 1),
        (wallet(2), 4, "pending", "", 0),
        (wallet(4), 5, "pending", "", 0),
    ]
    before = await migrated.rows("SELECT count() AS n FROM wallet_backfill_plan_before")
    assert before == [{"n": 4}]


async def test_the_runbooks_own_sql_works_at_any_time(
    plans: plan_table.PlanTable, migrated: client.Store
) -> None:
    await plans.add("wallets", planned(1, 2, 3))
    await plans.apply("wallets", [done(1, status="in_progress"), done(2)], now=NOW)
    for sql in (
        "ALTER TABLE wallet_backfill_plan UPDATE status = 'pending' WHERE status = 'in_progress'",
        "CREATE TABLE plan_backup ENGINE = MergeTree ORDER BY tuple() "
        "AS SELECT * FROM wallet_backfill_plan",
        "TRUNCATE TABLE external_trades_raw",
        "ALTER TABLE wallet_backfill_plan UPDATE status = 'done' WHERE wallet_address IN "
        "(SELECT wallet_address FROM plan_backup WHERE status = 'done')",
        "SELECT toDate(ingested_at) AS day, count(), uniqExact(wallet_address) "
        "FROM external_trades_raw GROUP BY day ORDER BY day DESC LIMIT 7",
        "OPTIMIZE TABLE external_trades_raw FINAL",
        "DROP TABLE plan_backup",
    ):
        await migrated.command(sql)
    assert await plans.counts("wallets") == {
        "pending": 2, "in_progress": 0, "done": 1, "error": 0,
    }  # fmt: skip
