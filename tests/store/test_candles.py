"""Candles hold each stored fill once, whatever comes again, and whatever ends in between."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from tests.store.conftest import insert, trade

from polybackfill import errors
from polybackfill.checks import candle_check, check_result
from polybackfill.store import candles, client

FIGURES = ("open", "high", "low", "close", "shares", "volume", "fills")
MARKETS = [f"{number:064x}" for number in range(5)]


def fill(number: int, rng: random.Random) -> dict[str, Any]:
    """A fill in one of a few markets, within three days; several in the same second."""
    return trade(
        number,
        external_trade_id=f"{rng.getrandbits(128):032x}",
        condition_id=MARKETS[number % 5],
        token_id=str(number % 10),
        trade_timestamp=1_700_000_000 + rng.randrange(0, 3 * 86_400, 1_801),
        price=rng.randrange(1, 1_000) / 1_000,
        shares=rng.randrange(1, 1_000_000) / 1_000,
        cash_value=rng.randrange(1, 1_000_000) / 1_000,
        source_route=rng.choice(("/v2/trades", "/v2/activity")),
    )


def fills(count: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [fill(number, rng) for number in range(1, count + 1)]


def expected(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str, int, int], dict[str, Any]]:
    """The candles of these fills, made by hand."""
    groups: dict[tuple[str, str, int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        for length in (60, 3_600, 86_400):
            start = row["trade_timestamp"] // length * length
            groups[row["condition_id"], row["token_id"], length, start].append(row)
    made = {}
    for key, members in groups.items():
        members.sort(key=lambda row: (row["trade_timestamp"], row["external_trade_id"]))
        prices = [row["price"] for row in members]
        made[key] = {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "shares": pytest.approx(sum(row["shares"] for row in members)),
            "volume": pytest.approx(sum(row["cash_value"] for row in members)),
            "fills": len(members),
        }
    return made


async def stored(store: client.Store) -> dict[tuple[str, str, int, int], dict[str, Any]]:
    """The candles that people read."""
    rows = await store.rows("SELECT *, toUnixTimestamp(started_at) AS started FROM trade_candles")
    candles_by_key = {
        (row["condition_id"], row["token_id"], row["interval_s"], row["started"]): {
            name: row[name] for name in FIGURES
        }
        for row in rows
    }
    assert len(candles_by_key) == len(rows), "a candle is there twice"
    return candles_by_key


async def marks(store: client.Store) -> int:
    (row,) = await store.rows("SELECT uniqExact(condition_id) AS n FROM candle_marks")
    return int(row["n"])


async def check(store: client.Store) -> check_result.CheckResult:
    return await candle_check.compare_candles(check_result.CheckContext(store, None))


async def test_candles_are_those_of_the_fills(migrated: client.Store) -> None:
    rows = fills(600)
    await insert(migrated, rows)
    assert await candles.make_marked(migrated, slice_fills=200) == 5
    assert await stored(migrated) == expected(rows)
    assert await marks(migrated) == 0
    assert await candles.make_marked(migrated) == 0
    assert (await check(migrated)).outcome == "passed"


async def test_what_comes_again_counts_once(migrated: client.Store) -> None:
    """Batches that overlap, that come twice, and that come after the candles were made."""
    rows, rng = fills(500), random.Random(2)
    for _ in range(8):
        batch = rng.sample(rows, 200)
        for _ in range(rng.choice((1, 2))):
            await insert(migrated, batch)
        if rng.random() < 0.5:
            await candles.make_marked(migrated)
    await insert(migrated, rows)
    await candles.make_marked(migrated)
    await insert(migrated, rows)
    assert await stored(migrated) == expected(rows)
    await candles.make_marked(migrated)
    assert await stored(migrated) == expected(rows)
    assert (await check(migrated)).outcome == "passed"


async def test_a_making_that_breaks_off_is_done_again(
    migrated: client.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = fills(400)
    await insert(migrated, rows[:200])
    await candles.make_marked(migrated)
    await insert(migrated, rows)
    command, count = migrated.command, 0

    async def break_off(statement: str, **options: Any) -> None:
        nonlocal count
        count += 1
        if count > 2:
            raise errors.Retry("the store is away")
        await command(statement, **options)

    with monkeypatch.context() as patched:
        patched.setattr(migrated, "command", break_off)
        with pytest.raises(errors.Retry):
            await candles.make_marked(migrated, slice_fills=50)
    assert await marks(migrated) == 5
    await candles.make_marked(migrated, slice_fills=50)
    assert await stored(migrated) == expected(rows)


async def test_a_part_of_them_leaves_the_others_marked(migrated: client.Store) -> None:
    rows = fills(500)
    await insert(migrated, rows)
    for left in (4, 3, 2, 1, 0):
        assert await candles.make_marked(migrated, most_slices=1, slice_fills=100) == 1
        assert await marks(migrated) == left
        verdict = await check(migrated)
        assert (verdict.outcome, verdict.evidence["markets_waiting"]) == ("passed", left)
    assert await stored(migrated) == expected(rows)


async def test_a_batch_whose_marks_were_lost_marks_again(migrated: client.Store) -> None:
    """The fills arrived, the marks did not, and nobody acknowledged: the batch is sent again."""
    rows = fills(100)
    await insert(migrated, rows)
    await migrated.command("TRUNCATE TABLE candle_marks")
    await insert(migrated, rows)
    await candles.make_marked(migrated)
    assert await stored(migrated) == expected(rows)


async def test_a_batch_that_brings_nothing_makes_no_candle_anew(migrated: client.Store) -> None:
    """As when wallets bring what their markets brought before."""
    rows = fills(200)
    await insert(migrated, rows)
    assert await candles.make_marked(migrated) == 5
    await insert(migrated, [*rows, fill(1_000, random.Random(3))])
    assert await marks(migrated) == 5
    assert await candles.make_marked(migrated) == 1
    await insert(migrated, rows)
    assert await candles.make_marked(migrated) == 0
    assert await marks(migrated) == 0


async def test_candles_that_arrived_in_part_are_made_anew(migrated: client.Store) -> None:
    """A making that was ended amid its rows: the fills are the same, their candles are not."""
    rows = fills(200)
    await insert(migrated, rows)
    await candles.make_marked(migrated)
    await migrated.command(
        "ALTER TABLE trade_candle_rows DELETE "
        "WHERE intDiv(toUnixTimestamp(started_at), 60) % 2 = 0 AND token_id = '3' "
        "SETTINGS mutations_sync = 2"
    )
    await insert(migrated, rows)
    assert await candles.make_marked(migrated) == 1
    assert await stored(migrated) == expected(rows)


async def test_a_store_from_before_there_were_candles_gets_them(migrated: client.Store) -> None:
    rows = fills(100)
    await insert(migrated, rows)
    await candles.clear(migrated)
    assert (await check(migrated)).outcome == "skipped"
    assert await candles.make_marked(migrated) == 5
    assert await stored(migrated) == expected(rows)


async def test_rows_that_go_past_the_landing_table_are_marked(migrated: client.Store) -> None:
    await insert(migrated, fills(50))
    await candles.make_marked(migrated)
    await migrated.command(
        "INSERT INTO external_trades_raw SELECT * REPLACE (generateUUIDv4() AS external_trade_id) "
        "FROM external_trades_raw"
    )
    await candles.make_marked(migrated)
    (row,) = await migrated.rows("SELECT sum(fills) AS n FROM trade_candles WHERE interval_s = 60")
    assert row["n"] == 100
    assert (await check(migrated)).outcome == "passed"


async def test_the_check_finds_each_way_in_which_a_candle_can_be_wrong(
    migrated: client.Store,
) -> None:
    await insert(migrated, fills(300))
    of_one = "WHERE token_id = '3'"
    damages = [
        *(f"ALTER TABLE trade_candle_rows UPDATE {name} = {name} + 1 {of_one}" for name in FIGURES),
        f"ALTER TABLE trade_candle_rows DELETE {of_one} AND fills = 1",
        "INSERT INTO trade_candle_rows SELECT * REPLACE (started_at - 86400 * 9 AS started_at) "
        f"FROM trade_candle_rows {of_one} LIMIT 1",
        f"ALTER TABLE external_trades_raw UPDATE price = 0.9999 {of_one}",
        f"ALTER TABLE external_trades_raw DELETE {of_one}",
    ]
    for damage in damages:
        await migrated.command("TRUNCATE TABLE trade_candle_rows")
        await candles.make_marked(migrated)
        assert (await check(migrated)).outcome == "passed"
        settings = "" if damage.startswith("INSERT") else " SETTINGS mutations_sync = 2"
        await migrated.command(f"{damage}{settings}")
        verdict = await check(migrated)
        assert verdict.outcome == "failed", damage
        assert verdict.evidence["candles_that_differ"] >= 1
        assert {row["token_id"] for row in verdict.examples} == {"3"}
