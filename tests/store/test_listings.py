"""Records of the lists are what the store's tables take, and its views show one row per key."""

from __future__ import annotations

import msgspec

from polybackfill import records
from polybackfill.kinds import user_stats
from polybackfill.polymarket import market_parser, parsing
from polybackfill.store import client

SOURCE = parsing.ResponseSource("/markets", "http://x/markets", "u", 1_790_700_000)
CONDITION = "8c1fd02e5b6a497730a0e84d92f7714bb5e63ca19d20c67f3ba5510e7d48a92c"
BY_GAMMA = {
    "id": "2570755",
    "conditionId": "0x" + CONDITION,
    "slug": "m",
    "closed": True,
    "outcomes": '["Yes", "No"]',
    "outcomePrices": '["0", "1"]',
    "umaResolutionStatus": "resolved",
    "startDate": "2026-09-27T18:17:02.118Z",
    "tags": [{"label": "Crypto"}],
    "events": [{"id": "9", "slug": "e"}],
    "volume": "12.5",
}
BY_BOOK = {
    "condition_id": "0x" + CONDITION,
    "market_slug": "m",
    "closed": True,
    "tokens": [{"token_id": "12", "outcome": "Yes"}, {"token_id": "13", "outcome": "No"}],
}
NAMELESS = [{"id": str(number), "slug": f"draft-{number}"} for number in range(3)]


async def test_markets_and_events_of_both_lists_are_stored_once(migrated: client.Store) -> None:
    """Seed 002, api_markets_staging + markets backfill: one row per condition after two runs."""
    for _ in range(2):
        by_gamma = market_parser.gamma_markets([BY_GAMMA, *NAMELESS], SOURCE).markets
        by_book = market_parser.clob_markets([BY_BOOK, BY_BOOK], SOURCE).markets
        rows = [*by_gamma, *by_book]
        await migrated.insert("api_market_rows", records.encode_lines(rows), rows=len(rows))
        event = {"id": "9", "slug": "e", "markets": [BY_GAMMA], "tags": ["Crypto"]}
        listed = market_parser.gamma_events([event], SOURCE).events
        await migrated.insert("api_event_rows", records.encode_lines(listed), rows=len(listed))
    (market,) = await migrated.rows(
        "SELECT condition_id, market_id, token_ids, resolved, winning_outcome, outcome_prices, "
        "toUnixTimestamp64Second(start_date) AS started, tags, event_slug, volume "
        "FROM api_markets_staging"
    )
    assert market == {
        "condition_id": CONDITION,
        "market_id": "2570755",
        "token_ids": ["12", "13"],
        "resolved": True,
        "winning_outcome": 1,
        "outcome_prices": [0.0, 1.0],
        "started": 1_790_533_022,
        "tags": ["Crypto"],
        "event_slug": "e",
        "volume": 12.5,
    }
    (apart,) = await migrated.rows("SELECT count() AS n FROM api_markets_without_condition")
    assert int(apart["n"]) == 3
    (event_row,) = await migrated.rows("SELECT event_id, condition_ids FROM api_events_staging")
    assert event_row == {"event_id": "9", "condition_ids": [CONDITION]}


async def test_the_earliest_and_latest_dates_that_are_read_can_be_stored(
    migrated: client.Store,
) -> None:
    row = {"id": "1", "startDate": "1970-01-02T03:46:40Z", "endDate": "2286-11-20T17:46:39Z"}
    rows = market_parser.gamma_markets([row], SOURCE).markets
    await migrated.insert("api_market_rows", records.encode_lines(rows), rows=1)
    (stored,) = await migrated.rows(
        "SELECT toString(start_date) AS since, toString(end_date) AS until "
        "FROM api_markets_without_condition"
    )
    assert stored == {"since": "1970-01-02 03:46:40", "until": "2286-11-20 17:46:39"}


async def test_a_record_has_exactly_the_columns_of_its_table(migrated: client.Store) -> None:
    tables: dict[type[msgspec.Struct], str] = {
        records.Market: "api_market_rows",
        records.Event: "api_event_rows",
        user_stats.UserStats: "api_user_stat_rows",
    }
    for record, table in tables.items():
        described = await migrated.rows(f"DESCRIBE TABLE {table}")
        columns = [row["name"] for row in described]
        assert columns == [field.name for field in msgspec.structs.fields(record)]
