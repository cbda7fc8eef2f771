"""What a run has before it, counted: what was never read, what is read again, what is unknown."""

from __future__ import annotations

from tests.store.test_universe import market, put

from polybackfill.store import again, client, outlook, plan_table

NOW = 1_790_000_000
DAY_S = 86_400
BEGAN = NOW + DAY_S


def condition(number: int) -> str:
    return f"{number:064x}"


async def read(store: client.Store, plans: plan_table.PlanTable, *numbers: int) -> None:
    """Conditions whose walk ended at NOW, its newest row an hour old."""
    rows = [plan_table.PlanRow(condition(number), number + 1) for number in numbers]
    await plans.add("conditions", rows)
    ends = [
        plan_table.PlanUpdate(row.key, "done", last_run_at=NOW, attempts=1, read_until=NOW - 3_600)
        for row in rows
    ]
    await plans.apply("conditions", ends, now=NOW)


async def test_nothing_is_known_before_the_lists_are_read(migrated: client.Store) -> None:
    everything = await outlook.of(migrated, everything=True)
    assert everything.markets == outlook.PUBLISHED_MARKETS
    assert everything.unresolved == everything.markets
    assert {"markets", "conditions", "wallets"} <= set(everything.published)
    planned = await outlook.of(migrated, everything=False)
    assert (planned.conditions, planned.wallets, planned.published) == (0, 0, ())


async def test_open_markets_are_read_again_until_they_have_been_read_closed(
    migrated: client.Store,
) -> None:
    plans = plan_table.PlanTable(migrated)
    closed = {"closed": True, "resolved": True}
    await put(
        migrated,
        "api_market_rows",
        market("gamma", condition_id=condition(0)),
        market("gamma", condition_id=condition(1), closed_at=NOW + 60, **closed),
        market("gamma", condition_id=condition(2), closed_at=NOW - 9 * DAY_S, **closed),
    )
    await read(migrated, plans, 0, 1, 2)
    ahead = await outlook.of(migrated, everything=True)
    assert (ahead.markets, ahead.open_again, ahead.unresolved) == (3, 1, 3)

    async def listed(began: int) -> list[tuple[int, list[str]]]:
        return [found async for found in again.listed(migrated, again.MARKETS, began)]

    since = (NOW - 3_600 - again.LATE_S) // DAY_S * DAY_S
    assert await listed(BEGAN) == [(since, [condition(0), condition(1)])]
    assert await again.count(migrated, again.MARKETS, BEGAN) == 2
    assert await listed(NOW) == [], "read by the run that asks"
    ends = [plan_table.Extension(condition(n), since, BEGAN, BEGAN + 5) for n in (0, 1)]
    await plans.extend("conditions", ends, now=BEGAN + 5)
    (again_later,) = await listed(BEGAN + 5 * DAY_S)
    assert again_later[1] == [condition(0), condition(1)], "it closed a day before that reading"
    ends = [
        plan_table.Extension(condition(n), since, BEGAN + 5 * DAY_S, BEGAN + 5 * DAY_S)
        for n in (0, 1)
    ]
    await plans.extend("conditions", ends, now=BEGAN + 5 * DAY_S)
    (again_later,) = await listed(BEGAN + 9 * DAY_S)
    assert again_later[1] == [condition(0)]


async def test_a_window_that_does_not_join_on_proves_nothing(migrated: client.Store) -> None:
    plans = plan_table.PlanTable(migrated)
    await read(migrated, plans, 0)
    apart = plan_table.Extension(condition(0), NOW + 60, BEGAN, BEGAN)
    await plans.extend("conditions", [apart], now=BEGAN)
    rows = await migrated.rows(
        "SELECT toUnixTimestamp(read_until) AS read_until, toUnixTimestamp(last_run_at) AS ran "
        "FROM condition_backfill_plan"
    )
    assert rows == [{"read_until": NOW - 3_600, "ran": NOW}]
