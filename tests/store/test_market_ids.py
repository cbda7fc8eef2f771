"""Market ids in the store: what is missing, filled in, taken back."""

from __future__ import annotations

import array
from typing import Any

import pytest
from tests.store import conftest as stores

from polybackfill import errors
from polybackfill.store import client, market_ids

NOW = 1_795_219_200.0


def condition(number: int) -> str:
    return f"{number:02x}" * 32


def mapping(number: int) -> market_ids.Listed:
    return market_ids.Listed(condition(number), str(5000 + number))


async def trades(store: client.Store, *given: tuple[int, str], first: int = 0) -> None:
    """Trades (number of the condition, market id)."""
    rows = [
        stores.trade(first + number, condition_id=condition(which), market_id=held)
        for number, (which, held) in enumerate(given)
    ]
    await stores.insert(store, rows)


async def held(store: client.Store) -> list[tuple[str, str]]:
    """(trade id, market id) of every trade."""
    rows = await store.rows(
        "SELECT toString(external_trade_id) AS id, market_id FROM external_trades_raw ORDER BY id"
    )
    return [(row["id"], row["market_id"]) for row in rows]


async def missing(ids: market_ids.MarketIds, **how: Any) -> list[market_ids.Missing]:
    return [one async for one in ids.missing(**how)]


@pytest.fixture
def ids(migrated: client.Store) -> market_ids.MarketIds:
    return market_ids.MarketIds(migrated)


async def apply(
    ids: market_ids.MarketIds, *mappings: market_ids.Listed, now: float = NOW
) -> market_ids.Apply | None:
    return await ids.apply(mappings, source="test", by="gamma", now=now)


async def test_what_lacks_an_id_is_listed_once_by_trades(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    await trades(migrated, (1, ""), (2, ""), (2, "unknown"), (3, "77"), (2, "9"))
    user = {"condition_id": "0x" + condition(1).upper(), "market_id": "unknown"}
    await migrated.insert("trades_raw", stores.lines([user, user, user]), rows=3)
    found = await missing(ids)
    assert [(one.condition_id, one.trades, one.user_trades) for one in found] == [
        (condition(1), 1, 3),
        (condition(2), 2, 0),
    ]
    assert set(found[1].tokens) == {"1", "2"}


async def test_an_apply_fills_only_what_was_empty_and_can_be_taken_back_to_the_trade(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    """Seed 004, apply market ids: before and after; reversible; idempotent; never '' or unknown."""
    await trades(migrated, (1, ""), (1, ""), (2, ""), (2, "5002"), (3, ""), (4, "88"))
    before = await held(migrated)
    assert await ids.coverage() == market_ids.Coverage(6, 2, 4, 1)

    done = await apply(ids, mapping(1), mapping(2), mapping(4))
    assert done is not None
    assert (done.conditions, done.trades, done.mappings) == (2, 3, 3)
    assert [market for _, market in await held(migrated)] == [
        "5001", "5001", "5002", "5002", "", "88"
    ]  # fmt: skip
    assert await ids.coverage() == market_ids.Coverage(6, 5, 4, 3)
    assert [one.condition_id for one in await missing(ids)] == [condition(3)]

    assert await apply(ids) is None, "a second time there is nothing to do"
    last = await ids.last_apply()
    assert last == done
    await ids.revert(last, now=NOW + 1)
    assert await held(migrated) == before
    assert [one async for one in ids.applied()] == []
    assert await ids.last_apply() is None

    again = await apply(ids, mapping(1), now=NOW - 500)  # a clock set back
    assert again is not None
    assert again.mappings == 1
    assert [one.market_id async for one in ids.applied()] == ["5001"]


async def test_later_trades_of_a_known_condition_are_filled_and_taken_back_alone(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    await trades(migrated, (1, ""))
    await apply(ids, mapping(1))
    await trades(migrated, (1, ""), (1, ""), first=10)
    assert await missing(ids) == [], "nothing needs to be asked"
    assert [one.trades for one in await missing(ids, applied=True)] == [2]
    second = await apply(ids, now=NOW + 60)
    assert second is not None
    assert (second.conditions, second.trades, second.mappings) == (1, 2, 0)
    await ids.revert(second, now=NOW + 61)
    assert [market for _, market in await held(migrated)] == ["5001", "", ""]
    assert [one.market_id async for one in ids.applied()] == ["5001"]


async def test_a_fill_leaves_rows_projection_and_the_check_for_duplicates_alone(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    given = [(number % 50, "") for number in range(2_000)]
    await trades(migrated, *given)
    await apply(ids, *(mapping(number) for number in range(50)))
    sized = await migrated.rows(
        "SELECT sum(rows) AS n FROM system.projection_parts "
        "WHERE active AND table = 'external_trades_raw' AND database = currentDatabase()"
    )
    assert sized[0]["n"] == 2_000
    await trades(migrated, *given)
    assert await stores.count(migrated) == 2_000
    assert (await ids.coverage()).share == 1.0


async def test_lists_and_mappings_answer_what_is_known(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    await trades(migrated, (1, ""), (2, ""), (3, ""))
    listed = [
        {"source": "gamma", "condition_id": condition(1), "market_id": "41", "token_ids": ["7"]},
        {"source": "gamma", "condition_id": condition(9), "market_id": "49"},
        {"source": "clob", "condition_id": condition(2)},
        {"source": "gamma", "condition_id": condition(3), "market_id": "43"},
    ]
    await migrated.insert("api_market_rows", stores.lines(listed), rows=4)
    await apply(ids, mapping(3))
    of_missing = [one async for one in ids.listed_for_missing()]
    assert of_missing == [market_ids.Listed(condition(1), "41", ("7",))]
    assert {one.market_id async for one in ids.stream_lists()} == {"41", "43", "49"}
    words = array.array("Q", await ids.dimension())
    half = 0x0101010101010101
    assert [tuple(words[at : at + 3]) for at in range(0, len(words), 3)] == [
        (half, half, 41), (3 * half, 3 * half, 5003), (9 * half, 9 * half, 49)
    ]  # fmt: skip
    assert await ids.learned(0, most=3) == {
        condition(1): "41", condition(3): "5003", condition(9): "49"
    }  # fmt: skip
    assert await ids.learned(4_000_000_000, most=3) == {}
    assert await ids.learned(0, most=2) is None


async def test_a_users_table_is_read_through_the_join_and_never_altered(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    rows = [
        {"trade_id": str(number), "condition_id": "0x" + condition(number), "market_id": held}
        for number, held in ((1, ""), (2, "unknown"), (3, "7"))
    ]
    await migrated.insert("trades_raw", stores.lines(rows), rows=3)
    assert await ids.user_coverage() == market_ids.Coverage(3, 1, 3, 1)
    await apply(ids, mapping(1))
    assert await ids.user_coverage() == market_ids.Coverage(3, 2, 3, 2)
    there = await migrated.rows("SELECT market_id FROM trades_raw ORDER BY trade_id")
    assert [row["market_id"] for row in there] == ["", "unknown", "7"]


async def test_a_user_table_without_market_ids_is_left_out(
    ids: market_ids.MarketIds, migrated: client.Store
) -> None:
    await migrated.command("DROP TABLE trades_raw")
    await migrated.command("CREATE VIEW trades_raw AS SELECT 'a' AS condition_id")
    await trades(migrated, (1, ""))
    assert await ids.user_coverage() is None
    assert [one.condition_id for one in await missing(ids)] == [condition(1)]


@pytest.mark.parametrize("steps", range(4))  # the record, the mappings, the fills, the update
async def test_an_apply_killed_at_any_step_ends_the_same_when_done_again(
    ids: market_ids.MarketIds,
    migrated: client.Store,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    """Seed 004, apply market ids: idempotent; and what a killed one left can be taken back too."""
    await trades(migrated, (1, ""), (2, ""), (2, "5002"), (3, ""))
    before = await held(migrated)
    left = steps

    def limited(whole: Any) -> Any:
        async def step(*words: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                raise errors.Retry("killed here")
            left -= 1
            return await whole(*words, **named)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(migrated, "insert", limited(migrated.insert))
        patched.setattr(migrated, "command", limited(migrated.command))
        with pytest.raises(errors.Retry):
            await apply(ids, mapping(1), mapping(2))
    known = {one.condition_id async for one in ids.applied()}
    fresh = [mapping(number) for number in (1, 2) if condition(number) not in known]
    await apply(ids, *fresh, now=NOW + 9)
    assert [market for _, market in await held(migrated)] == ["5001", "5002", "5002", ""]
    while (last := await ids.last_apply()) is not None:
        await ids.revert(last, now=NOW + 10)
    assert await held(migrated) == before
    assert [one async for one in ids.applied()] == []
