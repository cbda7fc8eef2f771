"""Dimensions in the store: payouts, events, categories, and readers during a build."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.store.conftest import insert, lines, trade
from tests.store.test_universe import market

from polybackfill import errors
from polybackfill.store import client, dimensions, rebuild, taxonomy

CONDITION = "ab" * 32


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": str(number),
        "event_slug": f"event-{number}",
        "title": f"Event {number}",
        "tags": [],
        "active": True,
        "closed": False,
        "market_ids": [],
        "condition_ids": [],
        "neg_risk": False,
        **changes,
    }


async def put(store: client.Store, table: str, *rows: dict[str, Any]) -> None:
    await store.insert(table, lines(list(rows)), rows=len(rows))


async def dimension(store: client.Store) -> dict[str, Any]:
    await dimensions.build(store)
    (row,) = await store.rows("SELECT * FROM markets_dim")
    return row


@pytest.mark.parametrize(
    ("payouts", "shown"),
    [
        ([1, 0], ("YES", 1, 0)),
        ([0, 1], ("NO", 0, 1)),
        ([0.5, 0.5], (None, 0.5, 0.5)),
        ([0.37, 0.63], ("NO", 0.37, 0.63)),
        ([0, 0, 1], (None, None, None)),
        ([0, 0], (None, None, None)),
    ],
)
async def test_payouts(
    migrated: client.Store, payouts: list[float], shown: tuple[object, ...]
) -> None:
    """Seed 004, dimension build: payout 0 stored as 0; fractions kept."""
    await put(migrated, "api_market_rows", market("gamma", resolved=True, outcome_prices=payouts))
    row = await dimension(migrated)
    assert (row["resolved_outcome"], row["payout_yes"], row["payout_no"]) == shown
    assert row["payouts"] == (payouts if sum(payouts) else [])
    assert row["resolved_at"] is None, "the planned end is no resolution"


async def test_a_winner_alone_is_a_payout(migrated: client.Store) -> None:
    await put(migrated, "api_market_rows", market("clob", resolved=True, winning_outcome=1))
    row = await dimension(migrated)
    assert (row["payout_yes"], row["payout_no"], row["resolved_outcome"]) == (0, 1, "NO")


async def test_a_market_id_that_was_looked_up_fills_a_gap(migrated: client.Store) -> None:
    other = "cd" * 32
    await put(migrated, "api_market_rows", market("clob"), market("gamma", condition_id=other))
    await put(
        migrated,
        "condition_market_id_rows",
        *(
            {"condition_id": condition, "market_id": "99", "verified_at": 1, "version": 1}
            for condition in (CONDITION, other)
        ),
    )
    await dimensions.build(migrated)
    rows = await migrated.rows("SELECT market_id FROM markets_dim ORDER BY condition_id")
    assert [row["market_id"] for row in rows] == ["99", "7"]


async def test_the_event_is_found_from_either_side(migrated: client.Store) -> None:
    others = {"cd": "cd" * 32, "ef": "ef" * 32}
    await put(
        migrated,
        "api_market_rows",
        market("gamma", event_id="10", event_slug="stale", tags=["All"]),
        market("clob", tags=["Weather", "All"]),
        market("gamma", condition_id=others["cd"]),
        market("gamma", condition_id=others["ef"], event_id="99", event_slug="gone"),
    )
    await put(
        migrated,
        "api_event_rows",
        event(10, tags=["Science"]),
        event(9, condition_ids=[others["cd"]], category="NBA Playoffs"),
        event(11, condition_ids=[others["cd"]]),
    )
    await dimensions.build(migrated)
    rows = await migrated.rows(
        "SELECT condition_id, event_id, event_slug, category, tags FROM markets_dim "
        "ORDER BY condition_id"
    )
    assert [(row["event_id"], row["event_slug"], row["category"]) for row in rows] == [
        ("10", "event-10", "Weather / Disaster"),
        ("9", "event-9", "Sports"),
        ("99", "gone", "Uncategorized"),
    ]
    assert rows[0]["tags"] == ["All", "Science", "Weather"]
    mapped = await migrated.rows(
        "SELECT market_id, event_id, canonical_category, raw_tags FROM condition_market_map "
        "ORDER BY condition_id"
    )
    assert [row["canonical_category"] for row in mapped] == [row["category"] for row in rows]
    assert (mapped[0]["market_id"], mapped[0]["raw_tags"]) == ("7", rows[0]["tags"])
    events = await migrated.rows(
        "SELECT event_id, canonical_category, raw_tags FROM events_dim ORDER BY event_id"
    )
    assert [row["canonical_category"] for row in events] == ["Uncategorized"] * 2 + ["Sports"]


@pytest.mark.parametrize(
    ("tags", "category"),
    [
        ([], "Uncategorized"),
        (["All", "Mentions"], "Uncategorized"),
        (["Crypto", "Politics"], "Politics / Geopolitics"),
        (["Sports", "Fed Rates"], "Macro / Economy"),
        (["fed-rates"], "Macro / Economy"),
        (["US-current-affairs"], "Politics / Geopolitics"),
        (["Ukraine & Russia"], "Politics / Geopolitics"),
        ([" Pop-Culture! "], "Pop Culture / Media"),
        (["corporate", "celebrate"], "Uncategorized"),  # words are not looked for within words
        (["Ünïcödé", "日本", "'; DROP"], "Uncategorized"),
    ],
)
async def test_categories(migrated: client.Store, tags: list[str], category: str) -> None:
    """Seed 004, dimension build: category by tag map, Uncategorized as fallback."""
    (row,) = await migrated.rows(
        f"SELECT {taxonomy.category_sql('{tags:Array(String)}')} AS category",
        parameters={"tags": tags},
    )
    assert row["category"] == taxonomy.category_of(tags) == category


# Tag lists of real kinds, labelled by hand: what a trader would call the market.
LABELLED = [
    ("Weather / Disaster", "World|Earthquakes|Japan"),
    ("Macro / Economy", "Inflation|Argentina"),
    ("Politics / Geopolitics", "Politics|Greenland|Acquisitions|Trump"),
    ("Politics / Geopolitics", "Israel|Iran|Oil"),
    ("Pop Culture / Media", "culture|elon-tweets|elon-musk"),
    ("Pop Culture / Media", "Culture|google|Tech|Google Search|Best of 2025"),
    ("Pop Culture / Media", "Celebrities|Culture|google|Tech|Google Search|Best of 2025"),
    ("Pop Culture / Media", "Culture|google|TV|Reality TV|Google Search|Best of 2025"),
    ("Pop Culture / Media", "Culture|Tech|Google Search|Best of 2025"),
    ("Macro / Economy", "Politics|Fed|Fed Rates|Economy|fomc|Jerome Powell|Economic Policy"),
    ("Earnings / Business", "AI|google|Tech|Big Tech|Gemini 3"),
    ("Earnings / Business", "Business|Culture|Tech|Big Tech|Gemini 3"),
    ("Earnings / Business", "Finance|Earnings|NVDA|Hide From New"),
    ("Politics / Geopolitics", "Trump|Congress|Culture|Trump Presidency|Gov Shutdown"),
    ("Pop Culture / Media", "Politics|Culture|Tweet Markets"),
    ("Politics / Geopolitics", "Politics|Trump|Epstein"),
    ("Politics / Geopolitics", "Politics|Trump|China|Geopolitics|Trump-Xi"),
    ("Politics / Geopolitics", "Politics|Elections|NYC Mayor|Nov 4 Elections"),
    ("Weather / Disaster", "Science|Weather|Natural Disasters|Earthquakes"),
    (
        "Weather / Disaster",
        "science|weather|space|parlays|hurricane|astroid|earthquake|nasa|"
        "natural-disaster|climate|natural-disasters|climate-science",
    ),
    ("Weather / Disaster", "weather|recurring|hide-from-new|new-york-city"),
    ("Weather / Disaster", "weather|science|climate-science"),
    ("Crypto / DeFi", "Crypto|Bitcoin|Crypto Prices|Recurring|Up or Down|Hide From New|1H"),
    ("Crypto / DeFi", "crypto|pop-culture|celebrities|ftx"),
    ("Sports", "Sports|NHL|Games"),
    ("Sports", "Sports|Soccer|Games|UEF Qualifiers"),
    ("Sports", "Sports|Tennis|Games"),
    ("Pop Culture / Media", "world|awards|celebrities"),
    ("Pop Culture / Media", "awards|celebrities|world"),
    (
        "Pop Culture / Media",
        "pop-culture|nfl|youtube|views|sports|music|super-bowl|halftime|superbowl|big-game",
    ),
    ("Pop Culture / Media", "pop-culture|eurovision|music|finland"),
    ("Pop Culture / Media", "court|celebrities|pop-culture|music|combs|diddy|courts|breaking-news"),
    ("Pop Culture / Media", "pop-culture|2025-predictions|business|tech|celebrities|facebook"),
    ("Pop Culture / Media", "music|spotify|pop-culture"),
    ("Earnings / Business", "TikTok|Tech"),
    ("Uncategorized", "recurring|hide-from-new|rewards-20-4pt5-50"),
    ("Sports", "Sports|World|Brazil|Soccer|Games"),
    ("Sports", "Politics|Trump|Sports|NFL|Super Bowl"),
    ("Macro / Economy", "Politics|Trump|World|Tariffs|Trade War|Business"),
    ("Macro / Economy", "Politics|Jerome Powell|Fed|Trump Presidency"),
    ("Macro / Economy", "Finance|Commodities|Gold|Hide From New"),
    ("Politics / Geopolitics", "Geopolitics|World|Middle East|Iran|Israel x Iran|Oil"),
    ("Politics / Geopolitics", "politics|world|mention-markets|breaking-news|trump"),
    ("Politics / Geopolitics", "courts|trump|politics|crypto"),
    ("Politics / Geopolitics", "tech|world|china|taiwan|elon-musk"),
    ("Earnings / Business", "Tech|AI|OpenAI|Elon Musk|Courts"),
    ("Earnings / Business", "Tech|Culture|Apple|App Store"),
    ("Earnings / Business", "Business|Tech|World|IPOs"),
    ("Crypto / DeFi", "Politics|Crypto|Bitcoin|Trump"),
    ("Crypto / DeFi", "Crypto|Business|MicroStrategy|Finance"),
    ("Crypto / DeFi", "Crypto|Airdrops|Pre-Market|Tech"),
    ("Pop Culture / Media", "Culture|Elon Musk|Tweet Markets|Tech"),
    ("Pop Culture / Media", "Politics|Culture|Celebrities|Trump"),
    ("Pop Culture / Media", "Culture|Tech|Video Games|GTA VI"),
    ("Weather / Disaster", "World|Science|Hurricane|Politics"),
    ("Weather / Disaster", "Weather|Recurring|Daily Temperature|Highest temperature"),
    ("Sports", "Esports|Counter Strike 2|Games|Sports|Tech"),
    ("Uncategorized", "Mentions|All|Recurring"),
]


async def test_a_market_is_what_its_tags_are_about(migrated: client.Store) -> None:
    """A specific tag beats generic ones, several that agree beat one; SQL says the same."""
    lists = [tags.split("|") for _, tags in LABELLED]
    assert [taxonomy.category_of(tags) for tags in lists] == [name for name, _ in LABELLED]
    rows = await migrated.rows(
        f"SELECT {taxonomy.category_sql('tags')} AS category FROM "
        f"(SELECT arrayJoin({lists}) AS tags)"
    )
    assert [row["category"] for row in rows] == [name for name, _ in LABELLED]


async def test_every_listed_tag_means_what_it_says(migrated: client.Store) -> None:
    listed = [(tag, name) for name, tags in taxonomy.CATEGORIES.items() for tag in tags]
    assert len({tag for tag, _ in listed}) == len(listed)
    rows = await migrated.rows(
        f"SELECT {taxonomy.category_sql('[tag]')} AS category, tag FROM "
        f"(SELECT arrayJoin({[tag for tag, _ in listed]}) AS tag)"
    )
    assert [(row["tag"], row["category"]) for row in rows] == listed
    assert [taxonomy.category_of([tag.upper()]) for tag, _ in listed] == [n for _, n in listed]


async def test_shares_of_nothing_are_none(migrated: client.Store) -> None:
    empty = await dimensions.coverage(migrated)
    assert empty["coverage_rates"] == {"market_id": None, "event_id": None, "category": None}
    await insert(migrated, [trade(1), trade(2, condition_id=CONDITION)])
    await put(migrated, "api_market_rows", market("gamma"))
    await dimensions.build(migrated)
    known = await dimensions.coverage(migrated)
    assert known["coverage_rates"] == {"market_id": 50.0, "event_id": 0.0, "category": None}


async def test_readers_see_the_old_rows_or_the_new_ones(migrated: client.Store) -> None:
    conditions = [f"{number:064x}" for number in range(200)]
    await put(
        migrated,
        "api_market_rows",
        *(market("gamma", condition_id=condition) for condition in conditions),
    )
    await dimensions.build(migrated)
    building = asyncio.create_task(_again(migrated, 5))
    seen = set()
    while not building.done():
        (row,) = await migrated.rows(
            "SELECT count() AS n, uniq(condition_id) AS u FROM markets_dim"
        )
        seen.add((row["n"], row["u"]))
    await building
    assert seen == {(200, 200)}


async def _again(store: client.Store, times: int) -> None:
    for _ in range(times):
        await dimensions.build(store)


async def test_a_build_that_fails_changes_nothing_and_may_be_repeated(
    migrated: client.Store,
) -> None:
    await put(migrated, "api_market_rows", market("gamma"))
    before = await dimension(migrated)
    broken = "SELECT throwIf(number = 0, 'broken') AS market_id FROM numbers(1)"
    with pytest.raises(errors.BackfillError):
        await rebuild.rebuild(migrated, {"markets_dim": broken})
    (row,) = await migrated.rows("SELECT * FROM markets_dim")
    assert row == before
    assert (await dimension(migrated))["condition_id"] == CONDITION
