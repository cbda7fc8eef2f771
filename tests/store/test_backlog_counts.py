"""What a run has before it, counted: what was never read, what is read again, what is unknown."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.store.conftest import insert, trade
from tests.store.test_universe import market, position, put
from tests.store.test_views import activity

from polybackfill.kinds import key_source, registry
from polybackfill.store import backlog_counts, client, discovery, plan_table, stale_keys

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


async def units_of(store: client.Store, kind: str, ahead: backlog_counts.Outlook) -> int:
    """How many units a run has before it."""
    return (await registry.KINDS[kind].estimate(store, ahead)).units


async def test_nothing_is_known_before_the_lists_are_read(migrated: client.Store) -> None:
    everything = await backlog_counts.count_backlog(migrated, everything=True)
    assert everything.markets == backlog_counts.PUBLISHED_MARKETS
    assert await units_of(migrated, "resolutions", everything) == everything.markets
    assert {"markets", "conditions", "wallets"} <= set(everything.published)
    planned = await backlog_counts.count_backlog(migrated, everything=False)
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
    ahead = await backlog_counts.count_backlog(migrated, everything=True)
    assert (ahead.markets, ahead.open_again) == (3, 1)
    assert await units_of(migrated, "resolutions", ahead) == 3
    in_window = await backlog_counts.count_backlog(
        migrated, everything=True, bounds=backlog_counts.Bounds(windowed=True)
    )
    assert (in_window.conditions, in_window.open_again) == (3, 0), "each is counted once"
    assert await units_of(migrated, "conditions", in_window) == 3

    async def listed(began: int) -> list[tuple[int, list[str]]]:
        return [
            found
            async for found in stale_keys.list_stale(
                migrated, stale_keys.MARKETS, began=began, now=began
            )
        ]

    since = (NOW - 3_600 - stale_keys.LATE_S) // DAY_S * DAY_S
    assert await listed(BEGAN) == [(since, [condition(0), condition(1)])]
    assert await stale_keys.count(migrated, stale_keys.MARKETS, began=BEGAN, now=BEGAN) == 2
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


async def test_a_portion_of_a_plan_is_counted_in_its_order(migrated: client.Store) -> None:
    plans = plan_table.PlanTable(migrated)
    sizes = [5_000, 300, 20, 1]
    rows = [
        plan_table.PlanRow(f"{number:040x}", number + 1, trade_count=size)
        for number, size in enumerate(sizes)
    ]
    await plans.add("wallets", rows)

    async def planned(**bounds: int) -> tuple[int, int | None, int]:
        chosen = backlog_counts.Bounds(**bounds)
        ahead = await backlog_counts.count_backlog(migrated, everything=False, bounds=chosen)
        return ahead.wallets, ahead.wallet_rows, ahead.planned_wallets

    assert await planned() == (4, 5_321, 4)
    assert await planned(limit=1) == (1, 5_000, 1)
    assert await planned(limit=2, skip=1) == (2, 320, 2)
    assert await planned(skip=9) == (0, 0, 0)
    assert await planned(windowed=True) == (4, None, 4), "nobody knows what lies in a window"


async def test_of_keys_without_a_size_the_rows_are_unknown(migrated: client.Store) -> None:
    plans = plan_table.PlanTable(migrated)
    await plans.add("wallets", [plan_table.PlanRow(f"{1:040x}", 1)])
    ahead = await backlog_counts.count_backlog(migrated, everything=False)
    assert (ahead.wallets, ahead.wallet_rows) == (1, None)


async def test_of_the_whole_exchange_a_limit_takes_a_part(migrated: client.Store) -> None:
    ahead = await backlog_counts.count_backlog(
        migrated, everything=True, bounds=backlog_counts.Bounds(limit=29_000)
    )
    assert (ahead.wallets, ahead.planned_wallets, ahead.conditions) == (29_000, 29_000, 29_000)
    assert ahead.wallet_rows == backlog_counts.PUBLISHED_ROWS // 100
    assert ahead.markets == backlog_counts.PUBLISHED_MARKETS, "lists are read whole"


async def test_of_planned_lists_only_what_they_lead_to_is_counted(migrated: client.Store) -> None:
    """A listed wallet with markets traded, held and split, a listed market, and strangers."""
    own, stranger = f"{1:040x}", f"{2:040x}"
    plans = plan_table.PlanTable(migrated)
    found = f"{plan_table.FOUND_IN_RUN}external_trades_raw"
    await plans.add("wallets", [plan_table.PlanRow(own, 1, source="mine.txt")])
    await plans.add("wallets", [plan_table.PlanRow(stranger, 2, source=found)])
    await plans.add("conditions", [plan_table.PlanRow(condition(6), 1, source="mine.txt")])
    await plans.add("conditions", [plan_table.PlanRow(condition(9), 2, source=found)])
    await insert(
        migrated,
        [
            trade(1, wallet_address=own, condition_id=condition(1)),
            trade(2, wallet_address=stranger, condition_id=condition(2)),
            trade(3, wallet_address=own, condition_id=condition(5)),
        ],
    )
    await put(
        migrated,
        "api_positions_landing",
        position(1, 0, wallet_address=own, condition_id=condition(3)),
    )
    rows = [
        activity(1, "SPLIT", wallet_address=own, condition_id=condition(4)),
        activity(2, "CONVERSION", wallet_address=own, condition_id="fa" * 32),
    ]
    await put(migrated, "wallet_activity_landing", *rows)
    settled = {"closed": True, "resolved": True}
    await put(
        migrated,
        "api_market_rows",
        market("gamma", condition_id=condition(1), **settled),
        market("gamma", condition_id=condition(2)),
        market("gamma", condition_id=condition(3)),
    )

    async def keys(listing: AsyncIterator[list[str]]) -> list[str]:
        return [key async for chunk in listing for key in chunk]

    def missing(kind: str) -> AsyncIterator[list[str]]:
        of_kind = registry.KINDS[kind].keys
        assert isinstance(of_kind, key_source.MissingConditions)
        return discovery.list_conditions(migrated, of_kind.of_lists)

    assert await keys(missing("lookups")) == [condition(number) for number in (3, 4, 5, 6)]
    assert await keys(missing("resolutions")) == [condition(number) for number in (1, 3, 4, 5, 6)]
    assert await keys(discovery.PlannedWallets(migrated, listed_only=True)()) == [own]
    bounds = backlog_counts.Bounds(listed_only=True, official=9)
    ahead = await backlog_counts.count_backlog(migrated, everything=False, bounds=bounds)
    counts = {"positions": 1, "user-stats": 1, "lookups": 4, "resolutions": 5}
    assert {kind: await units_of(migrated, kind, ahead) for kind in counts} == counts
    assert ahead.finds_markets, "the wallet is not read yet"
    assert (
        await stale_keys.count(
            migrated, stale_keys.WALLETS, began=BEGAN, now=BEGAN, listed_only=True
        )
        == 0
    )
    ends = [
        plan_table.PlanUpdate(key, "done", last_run_at=NOW, attempts=1, read_until=1)
        for key in (own, stranger)
    ]
    await plans.apply("wallets", ends, now=NOW)
    for of_list, count in ((False, 2), (True, 1)):
        times = {"began": BEGAN, "now": BEGAN}
        assert (
            await stale_keys.count(migrated, stale_keys.WALLETS, **times, listed_only=of_list)
            == count
        )
