"""What a market pays: one rule over three sources, in every combination of what they may say."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from tests.store.conftest import insert, trade
from tests.store.test_universe import market, put

from polybackfill.store import client, query_files

YES, NO = "70", "71"
WON, LOST, TIED = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
DIVIDED = [0.37, 0.63]
UNKNOWN: list[float] = []

# How each source may show a market, and what a share pays by its word alone (UNKNOWN: it has none).
RESOLUTIONS: dict[str, tuple[dict[str, Any] | None, list[float]]] = {
    "absent": (None, UNKNOWN),
    "open": ({"status": "active"}, UNKNOWN),
    "disputed": ({"status": "disputed", "payouts": WON}, UNKNOWN),
    "no payouts": ({"status": "resolved"}, UNKNOWN),
    "yes": ({"status": "resolved", "payouts": WON}, WON),
    "no": ({"status": "resolved", "payouts": LOST}, LOST),
    "tie": ({"status": "resolved", "payouts": TIED}, TIED),
    "divided": ({"status": "resolved", "payouts": DIVIDED}, DIVIDED),
    "two dollars": ({"status": "resolved", "payouts": [1.0, 1.0]}, UNKNOWN),
}
_RESOLVED = {"closed": True, "resolved": True}
GAMMA: dict[str, tuple[dict[str, Any] | None, list[float]]] = {
    "absent": (None, UNKNOWN),
    "open": ({"outcome_prices": [0.62, 0.38]}, UNKNOWN),
    "disputed": ({"closed": True, "outcome_prices": [0.97, 0.03]}, UNKNOWN),
    "no prices": (_RESOLVED, UNKNOWN),
    "yes": ({**_RESOLVED, "outcome_prices": WON, "winning_outcome": 0}, WON),
    "nearly yes": ({**_RESOLVED, "outcome_prices": [0.9995, 0.0005], "winning_outcome": 0}, WON),
    "no": ({**_RESOLVED, "outcome_prices": [0.0, 0.999999], "winning_outcome": 1}, LOST),
    "tie": ({**_RESOLVED, "outcome_prices": TIED}, TIED),
    "divided": ({**_RESOLVED, "outcome_prices": DIVIDED}, DIVIDED),
    "quotes": ({**_RESOLVED, "outcome_prices": [0.9, 0.3]}, UNKNOWN),
}
_FLIPPED = {"token_ids": [NO, YES], "outcomes": ["No", "Yes"]}
BOOK: dict[str, tuple[dict[str, Any] | None, list[float]]] = {
    "absent": (None, UNKNOWN),
    "open": ({}, UNKNOWN),
    "closed": ({"closed": True}, UNKNOWN),
    "yes": ({**_RESOLVED, "winning_outcome": 0}, WON),
    "no": ({**_RESOLVED, "winning_outcome": 1}, LOST),
    "flipped yes": ({**_RESOLVED, **_FLIPPED, "winning_outcome": 1}, WON),
    "flipped no": ({**_RESOLVED, **_FLIPPED, "winning_outcome": 0}, LOST),
    "unnamed flipped yes": (
        {**_RESOLVED, "token_ids": [], "outcomes": ["No", "Yes"], "winning_outcome": 1},
        WON,
    ),
}
COMBINATIONS = list(itertools.product(RESOLUTIONS, GAMMA, BOOK))


def rule(resolution: str, gamma: str, book: str) -> list[float]:
    """The rule in plain words."""
    by_resolution, by_gamma, by_book = (
        source[shown][1]
        for source, shown in ((RESOLUTIONS, resolution), (GAMMA, gamma), (BOOK, book))
    )
    if by_resolution:
        return by_resolution
    if resolution == "disputed":
        return UNKNOWN
    if by_book and by_gamma:
        return by_book if by_gamma[by_book.index(1)] > 0.5 else UNKNOWN
    return by_book or by_gamma


async def store_all(store: client.Store) -> dict[str, tuple[str, str, str]]:
    """A market of each combination, with a fill that tells what its tokens are; by condition."""
    conditions = {f"{number:064x}": one for number, one in enumerate(COMBINATIONS, start=1)}
    rows: dict[str, list[dict[str, Any]]] = {"api_market_rows": [], "api_resolution_rows": []}
    for condition, (resolution, gamma, book) in conditions.items():
        for source, (shown, _) in (("gamma", GAMMA[gamma]), ("clob", BOOK[book])):
            if shown is not None:
                row = market(source, condition_id=condition, token_ids=[YES, NO]) | shown
                rows["api_market_rows"].append(row)
        if (told := RESOLUTIONS[resolution][0]) is not None:
            row = {"condition_id": condition, "payouts": [], "was_disputed": False, **told}
            rows["api_resolution_rows"].append(row)
    for table, lines in rows.items():
        await put(store, table, *lines)
    fills = [
        trade(number, condition_id=condition, token_id=NO, outcome_index=1)
        for number, condition in enumerate(conditions)
    ]
    await insert(store, fills)
    return conditions


@pytest.fixture
async def combined(migrated: client.Store) -> tuple[client.Store, dict[str, tuple[str, str, str]]]:
    return migrated, await store_all(migrated)


async def test_the_rule_over_every_combination(
    combined: tuple[client.Store, dict[str, tuple[str, str, str]]],
) -> None:
    """What each source says alone, and which word counts when several speak; what differs is
    listed, also where /v2/resolutions has no row."""
    store, conditions = combined
    rows = await store.rows("SELECT condition_id, payouts FROM market_payouts")
    paid = {row["condition_id"]: row["payouts"] for row in rows}
    assert len(paid) == len(rows)
    wrong = {
        one: (paid.get(condition, UNKNOWN), rule(*one))
        for condition, one in conditions.items()
        if paid.get(condition, UNKNOWN) != rule(*one)
    }
    assert wrong == {}
    listed = await store.rows("SELECT condition_id, disagreement FROM resolution_disagreements")
    found = {conditions[row["condition_id"]]: row["disagreement"] for row in listed}
    assert len(found) == len(listed)
    differing = {one for one in COMBINATIONS if disagrees(*one)}
    assert {one for one, what in found.items() if what == "payouts"} == {
        one for one in differing if "two dollars" not in one and "quotes" not in one
    }
    impossible = {one for one in COMBINATIONS if "two dollars" in one or "quotes" in one}
    assert {one for one, what in found.items() if what == "impossible"} == impossible
    undecided = {one for one in COMBINATIONS if is_undecided(*one)}
    assert {one for one, what in found.items() if what in ("open", "unresolved")} == (
        undecided - differing - impossible
    )


async def test_what_the_lists_still_show_open_is_looked_up(
    combined: tuple[client.Store, dict[str, tuple[str, str, str]]],
) -> None:
    """Whoever says that it is resolved, also where the payouts are in doubt; chunk by chunk."""
    store, conditions = combined
    sql, found, last = query_files.read("closed_since_listed"), set(), ""
    while rows := await store.rows(sql, parameters={"after": last, "chunk": 7}):
        last = rows[-1]["condition_id"]
        found |= {conditions[row["condition_id"]] for row in rows}
    decided = {"yes", "no", "tie", "divided", "two dollars"}
    assert found == {
        (resolution, gamma, book)
        for resolution, gamma, book in COMBINATIONS
        if (gamma == "open" or (gamma == "absent" and book == "open"))
        and (resolution in decided or BOOK[book][1])
    }
    called_open = await store.rows(
        "SELECT condition_id FROM resolution_disagreements WHERE disagreement = 'open'"
    )
    assert {conditions[row["condition_id"]] for row in called_open} < found


def spoken(resolution: str, gamma: str, book: str) -> list[list[float]]:
    told = (RESOLUTIONS[resolution][1], GAMMA[gamma][1], BOOK[book][1])
    return [payouts for payouts in told if payouts]


def disagrees(*one: str) -> bool:
    voices = spoken(*one)
    return any(not math.isclose(a[0], b[0], abs_tol=1e-3) for a in voices for b in voices)


def is_undecided(resolution: str, gamma: str, book: str) -> bool:
    """One source says resolved, and another that the market is open or its result to come."""
    is_open = gamma == "open" or (gamma == "absent" and book == "open")
    is_pending = gamma == "disputed" or resolution in ("open", "disputed")
    return bool(spoken(resolution, gamma, book)) and (is_open or is_pending)


async def test_a_winner_is_found_by_its_token(migrated: client.Store) -> None:
    """The order book may list tokens in any order; without Gamma, trades tell what they stand for.
    A winner that nobody knows is no winner."""
    teams = ["Hawks", "Bulls"]
    won = {**_RESOLVED, "outcomes": teams, "winning_outcome": 0}
    three = {"token_ids": ["92", "90", "91"], "outcomes": ["C", "A", "B"]}
    await put(
        migrated,
        "api_market_rows",
        market("clob", condition_id="01", token_ids=["21", "20"], **won),
        market("clob", condition_id="02", token_ids=["31", "30"], **won),
        market("clob", condition_id="03", token_ids=[], **won),
        market("clob", condition_id="04", token_ids=["666", "667"], **won),
        market("gamma", condition_id="04", token_ids=["40", "41"]),
        market("clob", condition_id="05", **_RESOLVED, **three, winning_outcome=2),
        market("gamma", condition_id="06", token_ids=[], outcomes=["Bulls", "Hawks"]),
        market("clob", condition_id="06", token_ids=["61", "60"], **won),
    )
    await insert(
        migrated,
        [
            trade(1, condition_id="01", token_id="20", outcome_index=0),
            trade(2, condition_id="02", token_id="31", outcome_index=0),
            trade(3, condition_id="05", token_id="90", outcome_index=0),
            trade(4, condition_id="05", token_id="92", outcome_index=2),
        ],
    )
    rows = await migrated.rows("SELECT condition_id, payouts FROM market_payouts")
    assert {row["condition_id"]: row["payouts"] for row in rows} == {
        "01": LOST,
        "02": WON,
        "05": [0.0, 1.0, 0.0],
        "06": LOST,
    }
    listed = await migrated.rows(
        "SELECT condition_id FROM resolution_disagreements WHERE disagreement = 'token' ORDER BY 1"
    )
    assert [row["condition_id"] for row in listed] == ["03", "04"]


async def test_what_was_decided_anew_counts_as_it_is_now(migrated: client.Store) -> None:
    """Resolved, disputed, and resolved the other way: the newest row of each source counts."""
    first = {**_RESOLVED, "outcome_prices": WON, "winning_outcome": 0}
    for version, status, shown, payouts in (
        (1, "resolved", first, WON),
        (2, "disputed", {"closed": True, "outcome_prices": [0.6, 0.4]}, []),
        (3, "resolved", {**first, "outcome_prices": LOST, "winning_outcome": 1}, LOST),
    ):
        await put(migrated, "api_market_rows", market("gamma", version=version, **shown))
        row = {"condition_id": market("gamma")["condition_id"], "was_disputed": True}
        row |= {"status": status, "payouts": payouts, "version": version}
        await put(migrated, "api_resolution_rows", row)
        rows = await migrated.rows("SELECT payouts FROM market_payouts")
        assert [row["payouts"] for row in rows] == ([payouts] if payouts else [])
        assert await migrated.rows("SELECT * FROM resolution_disagreements") == []
