"""Wherever a wallet or a market may be typed, what a person has at hand will do."""

from __future__ import annotations

from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

SITE = "https://polymarket.com"


def _dry(desk: desks.Desk, *words: object) -> dict[str, int]:
    """Keys of each part of a dry run."""
    parts = desk.json("run", *words, "--dry-run")["parts"]
    return {name: part["units"] for name, part in parts.items()}


@pytest.fixture(scope="module")
def events(shared_sandbox: harness.Sandbox) -> list[dict[str, Any]]:
    """Events with the conditions of their listed markets, those of several markets first."""
    base = f"{shared_sandbox.url}/gamma/events/keyset?limit=100&version=v1&version=v2"
    both = (harness.ask(f"{base}&closed={closed}")["events"] for closed in ("true", "false"))
    found = [
        {
            "slug": event["slug"],
            "markets": {
                one["slug"]: one["conditionId"] for one in event["markets"] if one["conditionId"]
            },
        }
        for page in both
        for event in page
    ]
    assert max(len(event["markets"]) for event in found) > 1
    return sorted(found, key=lambda event: -len(event["markets"]))


@pytest.fixture(scope="module")
def profiles(shared_sandbox: harness.Sandbox) -> dict[str, str]:
    """Display name → wallet, of names that only one wallet has."""
    named: dict[str, list[str]] = {}
    for letter in "aeiou":
        page = f"{shared_sandbox.url}/gamma/public-search?search_profiles=true&limit_per_type=50"
        for row in harness.ask(f"{page}&q={letter}")["profiles"]:
            if row["name"].isascii() and row["name"].isalnum() and row["name"][:2] != "0x":
                named.setdefault(row["name"], []).append(row["proxyWallet"])
    ranked = shared_sandbox.ask("wallets?top=1000000&by=rows")
    wallets = {row["wallet"] for row in ranked if row["all_rows"] and not row["contract"]}
    return {
        name: held[0] for name, held in named.items() if len(set(held)) == 1 and held[0] in wallets
    }


@pytest.fixture
def empty(new_desk: NewDesk, sandbox: harness.Sandbox) -> desks.Desk:
    """A desk whose store knows nothing, so that Gamma is asked."""
    assert sandbox
    return new_desk()


def test_markets_by_number_slug_and_page(
    empty: desks.Desk, sandbox: harness.Sandbox, events: list[dict[str, Any]]
) -> None:
    markets = [one for one in sandbox.lines("markets") if one["condition_id"]][:3]
    slug, condition = next(iter(events[0]["markets"].items()))
    empty.call("plan", "build", "--from", markets[0]["market_id"])
    assert set(empty.plan_of("condition")) == {markets[0]["condition_id"][2:]}
    pages = [
        slug,
        f"{SITE}/market/{slug}",
        f"{SITE}/event/{events[0]['slug']}/{slug}?tid=1760000000000#comments",
        f"polymarket.com/de/event/{events[0]['slug']}/{slug}",
    ]
    assert _dry(empty, "--condition-id", empty.file("pages.txt", pages)) == {"conditions": 1}
    for page in pages:
        empty.call("plan", "build", "--from", page)
    assert set(empty.plan_of("condition")) == {condition[2:], markets[0]["condition_id"][2:]}


def test_an_event_is_all_its_markets(empty: desks.Desk, events: list[dict[str, Any]]) -> None:
    event = events[0]
    for name in (event["slug"], f"{SITE}/event/{event['slug']}"):
        assert _dry(empty, "--condition-id", name) == {"conditions": len(event["markets"])}
    empty.call("plan", "build", "--from", f"{SITE}/event/{event['slug']}")
    assert set(empty.plan_of("condition")) == {key[2:] for key in event["markets"].values()}
    empty.call("watchlist", "add", f"{SITE}/event/{event['slug']}", "253591")
    watched = {one["condition_id"] for one in empty.json("watchlist", "list")["entries"]}
    assert watched >= set(event["markets"].values())
    empty.call("watchlist", "remove", event["slug"], "253591")
    assert empty.json("watchlist", "list")["entries"] == []


def test_wallets_by_profile(empty: desks.Desk, profiles: dict[str, str]) -> None:
    (name, wallet), (other, second), *_ = profiles.items()
    names = [f"@{name}", f"{SITE}/@{other}", f"{SITE}/profile/{second}?tab=activity"]
    report = empty.json("run", "--wallet", ",".join(names))
    assert report["parts"]["wallets"]["units"] == 2
    found = empty.sql("SELECT DISTINCT wallet_address AS wallet FROM external_trades_raw")
    assert {row["wallet"] for row in found} == {wallet[2:], second[2:]}
    receipts = empty.json("check", "receipts", "--wallet", f"@{name.upper()}")["receipts"]
    assert [one["keys"] for one in receipts] == [[wallet]]
    empty.call("plan", "build", "--from", empty.file("who.csv", ["user;trades", f"@{other};12"]))
    known = {key: row["trade_count"] for key, row in empty.plan_of().items()}
    assert known == {wallet[2:]: 0, second[2:]: 12}, "a list says how much there is"
    empty.call("plan", "reset", "--wallet", f"{SITE}/@{name}")


def test_the_store_is_asked_before_gamma(
    new_desk: NewDesk, sandbox: harness.Sandbox, events: list[dict[str, Any]]
) -> None:
    desk = new_desk()
    desk.call("run", "markets", "events")
    sandbox.reset()
    event = events[0]
    slug = next(iter(event["markets"]))
    names = f"{slug},{SITE}/event/{event['slug']}"
    assert _dry(desk, "--condition-id", names) == {"conditions": len(event["markets"])}
    assert set(sandbox.asked()) <= {"trades"}, "nobody but the walks of the dry run"


@pytest.mark.parametrize(
    ("flag", "typed", "said"),
    [
        ("--condition-id", "no-such-slug", "knows a market or event no-such-slug"),
        ("--condition-id", "99999999999", "knows a market number 99999999999"),
        ("--condition-id", f"{SITE}/event/nobody-knows", "knows an event nobody-knows"),
        ("--condition-id", f"{SITE}/portfolio", "a condition id; expected"),
        ("--condition-id", "@quiet-heron", "or a market's number, slug or page"),
        ("--wallet", "@nobody-at-all", "knows a profile nobody-at-all"),
        ("--wallet", "will-a-win", "or @NAME"),
        ("--wallet", f"{SITE}/event/who-wins", "a wallet address; expected"),
    ],
)
def test_what_nobody_knows_is_refused(empty: desks.Desk, flag: str, typed: str, said: str) -> None:
    ended = empty.call("run", flag, typed, code=errors.EXIT_CONFIG)
    assert said in ended.err
    assert "command line" in ended.err


def test_a_name_of_several_is_refused_with_the_candidates(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    desk = new_desk()
    desk.call("init")
    first, second = ("ab" * 32, "cd" * 32)
    rows = ", ".join(f"('gamma', '{key}', '{n}', 'twice')" for n, key in ((1, first), (2, second)))
    desk.call(
        "sql",
        f"INSERT INTO api_market_rows (source, condition_id, market_id, market_slug) VALUES {rows}",
    )
    error = desk.call("run", "--condition-id", f"{SITE}/market/twice", code=78).err
    assert f"0x{first}" in error
    assert f"0x{second}" in error
    desk.call(
        "sql",
        "INSERT INTO api_event_rows (event_id, event_slug, condition_ids) "
        f"VALUES ('1', 'twice', ['{first}'])",
    )
    error = desk.call("run", "--condition-id", "twice", code=78).err
    assert "polymarket.com/market/twice" in error
    assert "polymarket.com/event/twice" in error
    assert _dry(desk, "--condition-id", f"{SITE}/event/twice") == {"conditions": 1}


def test_gamma_that_does_not_answer_is_passing_trouble(
    empty: desks.Desk, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "500", "route": "search"})
    assert "500" in empty.call("run", "--wallet", "@heron", code=errors.EXIT_UNAVAILABLE).err


def test_a_list_with_an_unusable_size_plans_nothing(
    empty: desks.Desk, sandbox: harness.Sandbox
) -> None:
    for size in ("1e400", "-1", "inf", "1e30"):
        file = empty.file("list.csv", [sandbox.wallets[0], f"{sandbox.wallets[1]},{size},1"])
        error = empty.call("plan", "build", "--from", file, code=errors.EXIT_CONFIG).err
        assert f"{file}, line 2" in error
    empty.call("init")
    assert empty.plan_of() == {}
