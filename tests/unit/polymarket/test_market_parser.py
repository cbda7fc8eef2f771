"""Rows of the lists become records, whatever their fields hold; none is lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import errors, records
from polybackfill.polymarket import market_parser, parsing

from .test_coerce import ANY_JSON

SOURCE = parsing.ResponseSource(
    "/markets/keyset", "http://x/markets/keyset?closed=true", "u", 1_790_700_000
)
CONDITION = "8c1fd02e5b6a497730a0e84d92f7714bb5e63ca19d20c67f3ba5510e7d48a92c"
STRUCTURAL = "02" + "61e741" * 10
TOKENS = [
    "71204488916630214479655120933417758820161937054408273610459981266307418825513",
    "55061180190119011901190119011901190119011901190119011901190119011901190119011",
]
# As docs.polymarket.com shows a settled market of September 2026.
SETTLED: dict[str, Any] = {
    "id": "2570755",
    "question": "Bitcoin Up or Down - September 28, 2:15PM-2:30PM ET",
    "conditionId": "0x" + CONDITION.upper(),
    "slug": "btc-updown-15m-1790619300",
    "endDate": "2026-09-28T18:30:00Z",
    "startDate": "2026-09-27T18:17:02.118Z",
    "outcomes": '["Up", "Down"]',
    "outcomePrices": '["1", "0"]',
    "volume": "48211.907",
    "volumeNum": 48211.907,
    "active": True,
    "closed": True,
    "archived": False,
    "closedTime": "2026-09-28 18:31:09+00",
    "clobTokenIds": json.dumps(TOKENS),
    "umaResolutionStatus": "resolved",
    "negRisk": False,
    "version": "v1",
    "events": [{"id": "1093037", "slug": "btc-updown-15m-1790619300"}],
    "tags": [{"id": "21", "label": "Crypto", "slug": "crypto"}],
}
BOOK_ROW: dict[str, Any] = {
    "condition_id": "0x" + CONDITION,
    "question": "Will ŠK Slovan win on 2026-11-29?",
    "market_slug": "sk-slovan-win-2026-11-29",
    "end_date_iso": "2026-11-29T00:00:00Z",
    "active": True,
    "closed": True,
    "neg_risk": True,
    "tokens": [
        {"token_id": TOKENS[0], "outcome": "Yes", "price": 1, "winner": True},
        {"token_id": TOKENS[1], "outcome": "No", "price": 0, "winner": False},
    ],
    "tags": ["Sports", "All"],
}


def gamma(**changes: Any) -> records.Market:
    """One Gamma market; a change to ... leaves the key out."""
    row = {name: value for name, value in {**SETTLED, **changes}.items() if value is not ...}
    return market_parser.gamma_market(row, SOURCE)


def test_a_settled_market_is_read_whole() -> None:
    market = gamma()
    assert market.condition_id == CONDITION
    assert (market.market_id, market.market_slug) == ("2570755", "btc-updown-15m-1790619300")
    assert (market.outcomes, market.outcome_prices) == (["Up", "Down"], [1.0, 0.0])
    assert market.token_ids == TOKENS
    assert (market.resolved, market.winning_outcome) == (True, 0)
    assert (market.start_date, market.end_date) == (1_790_533_022, 1_790_620_200)
    assert market.closed_at == 1_790_620_269
    assert market.volume == 48211.907
    assert (market.event_id, market.event_slug) == ("1093037", "btc-updown-15m-1790619300")
    assert (market.tags, market.protocol_version) == (["Crypto"], "v1")


@pytest.mark.parametrize("nothing", [None, "", ...])
@pytest.mark.parametrize("name", [name for name in SETTLED if name != "id"])
def test_any_field_but_one_name_may_be_missing(name: str, nothing: object) -> None:
    """null, "" and an absent key are the same nothing."""
    market = gamma(**{name: nothing})
    assert market == gamma(**{name: ...})
    assert market.market_id == "2570755"


def test_a_market_without_a_condition_is_kept_apart_and_not_lost() -> None:
    assert gamma(conditionId="").condition_id == gamma(conditionId=...).condition_id == ""


def test_protocol_v2_names_its_outcomes_by_positions() -> None:
    market = gamma(version="v2", clobTokenIds=None, positionIds=TOKENS, umaResolutionStatus=...)
    assert (market.token_ids, market.protocol_version) == (TOKENS, "v2")
    assert gamma(version=..., clobTokenIds="", positionIds=TOKENS).protocol_version == "v2"
    assert gamma(version=...).protocol_version == "v1"
    both = {"clobTokenIds": ["5", "6"], "positionIds": TOKENS}
    assert gamma(version="v2", **both).token_ids == TOKENS
    assert gamma(version="v1", **both).token_ids == ["5", "6"]
    assert gamma(version=..., **both).token_ids == ["5", "6"]
    assert (
        gamma(version="v2", resolutionStatus="active", outcomePrices='["1","0"]').resolved is False
    )


def test_a_structural_condition_of_62_digits_is_padded() -> None:
    assert gamma(conditionId="0x" + STRUCTURAL).condition_id == STRUCTURAL + "00"


def test_three_outcomes_are_three() -> None:
    market = gamma(outcomes='["A","B","C"]', outcomePrices='["0","0","1"]')
    assert (market.outcomes, market.winning_outcome) == (["A", "B", "C"], 2)


def test_a_tie_is_resolved_without_a_winner_and_pays_halves() -> None:
    market = gamma(outcomePrices='["0.5", "0.5"]')
    assert (market.resolved, market.winning_outcome) == (True, None)
    assert market.outcome_prices == [0.5, 0.5]


def test_prices_that_are_all_zero_are_none() -> None:
    market = gamma(outcomePrices='["0", "0"]')
    assert (market.resolved, market.winning_outcome, market.outcome_prices) == (True, None, [])


def test_volume_falls_back_on_its_text() -> None:
    assert gamma(volumeNum=...).volume == 48211.907
    assert gamma(volumeNum=..., volume=None).volume == 0.0


def test_a_row_nothing_can_name_is_set_aside_with_its_reason() -> None:
    nameless = {**SETTLED, "id": None, "conditionId": "", "slug": ""}
    misspelt = {**SETTLED, "conditionId": "0x12"}
    found = market_parser.gamma_markets(
        [nameless, misspelt, "text", None, SETTLED, SETTLED], SOURCE
    )
    assert [row.reason for row in found.rejected] == [
        "neither condition id, id nor slug",
        "condition id: not 64 hexadecimal digits",
        "not an object",
        "not an object",
    ]
    assert json.loads(found.rejected[1].raw) == misspelt
    assert len({row.quarantine_id for row in found.rejected}) == 4
    assert (len(found.markets), found.fetched_rows) == (2, 6)


def test_an_event_is_read_with_the_ids_of_its_markets() -> None:
    event = market_parser.gamma_event(
        {
            "id": "1093037",
            "slug": "btc",
            "title": "Bitcoin Up or Down",
            "closed": True,
            "closedTime": "2026-09-28T18:31:09Z",
            "volume": 12,
            "tags": [{"label": "Crypto"}, {"label": "15M"}],
            "markets": [SETTLED, {"id": "7"}, None, {"conditionId": "0x12"}],
        },
        SOURCE,
    )
    assert (event.event_id, event.market_ids) == ("1093037", ["2570755", "7"])
    assert event.condition_ids == [CONDITION]
    assert (event.closed_at, event.tags) == (1_790_620_269, ["Crypto", "15M"])
    with pytest.raises(errors.Reject, match="id: missing"):
        market_parser.gamma_event({"slug": "btc"}, SOURCE)


def test_markets_without_a_start_date_are_taken_from_their_event() -> None:
    """No list filtered by start date shows them."""
    relic = {name: SETTLED[name] for name in ("id", "conditionId", "slug", "closed")}
    event = {"id": "9", "slug": "old", "tags": ["Politics"], "markets": [SETTLED, relic]}
    found = market_parser.gamma_events([event], SOURCE)
    assert [market.start_date for market in found.markets] == [None]
    assert (found.markets[0].event_id, found.markets[0].event_slug) == ("9", "old")
    assert found.markets[0].tags == ["Politics"]
    assert found.events[0].market_ids == ["2570755", "2570755"]
    assert found.fetched_rows == 1


def test_a_row_of_the_order_book_is_read_whole() -> None:
    market = market_parser.clob_market(BOOK_ROW, SOURCE)
    assert (market.source, market.condition_id) == ("clob", CONDITION)
    assert (market.market_slug, market.market_id) == ("sk-slovan-win-2026-11-29", "")
    assert (market.outcomes, market.token_ids) == (["Yes", "No"], TOKENS)
    assert (market.resolved, market.winning_outcome) == (True, 0)
    assert (market.neg_risk, market.tags) == (True, ["Sports", "All"])
    assert market.end_date == 1_795_910_400


def test_a_relic_of_the_order_book_is_kept() -> None:
    tokens = [{"token_id": "", "outcome": "", "price": 0, "winner": False}] * 2
    relic = {**BOOK_ROW, "condition_id": "", "tokens": tokens, "end_date_iso": None, "tags": None}
    market = market_parser.clob_market(relic, SOURCE)
    assert (market.condition_id, market.token_ids, market.outcome_prices) == ("", [], [])
    assert not market.resolved
    assert market_parser.clob_market({**BOOK_ROW, "tokens": None}, SOURCE).outcomes == []


READERS: list[tuple[Callable[..., market_parser.ParsedListing], dict[str, Any]]] = [
    (market_parser.gamma_markets, SETTLED),
    (market_parser.gamma_events, {**SETTLED, "markets": [SETTLED]}),
    (market_parser.clob_markets, BOOK_ROW),
]


@pytest.mark.parametrize(("read", "row"), READERS)
@given(data=st.data())
def test_any_value_in_any_field_neither_raises_nor_loses_a_row(
    read: Callable[..., market_parser.ParsedListing], row: dict[str, Any], data: st.DataObject
) -> None:
    changed = dict(row)
    for name in data.draw(st.sets(st.sampled_from(sorted(row)), min_size=1)):
        changed[name] = data.draw(ANY_JSON)
    found = read([changed, row], SOURCE)
    kept = [
        market
        for market in found.markets
        if market.start_date or read != market_parser.gamma_events
    ]
    rows = found.events if read == market_parser.gamma_events else kept
    own = [
        one for one in found.rejected if "markets" in one.raw or read != market_parser.gamma_events
    ]
    assert len(rows) + len(own) >= 2
    assert found.fetched_rows == 2
    records.encode_lines(rows)  # what the store is sent
    assert all(one.reason for one in found.rejected)


def recorded_markets(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    def content(name: str) -> bytes:
        stored = (folder / name).read_bytes()
        return gzip.decompress(stored) if name.endswith(".gz") else stored

    def lines(name: str) -> list[Any]:
        return [json.loads(line) for line in content(name).splitlines()]

    pages = lines("gamma-markets-raw-pages-wakeupnemo.jsonl.gz")
    yield "raw", [row for page in pages for row in page["markets"]]
    yield "compact", lines("gamma-markets-compact-open-universe-wakeupnemo.jsonl.gz")
    settled = lines("gamma-markets-resolved-btc5m-ligengxin96.jsonl")
    yield "resolved", [row["raw"] for row in settled]
    yield "tagged", json.loads(content("gamma-markets-trimmed-with-tags-johnstew324.json.gz"))


@pytest.mark.recorded
def test_every_recorded_market_is_stored_or_set_aside_with_a_reason(recorded_dir: Path) -> None:
    """Issue, statement 7: recorded Gamma data, all stored."""
    counted = {}
    for name, rows in recorded_markets(recorded_dir):
        found = market_parser.gamma_markets(rows, SOURCE)
        counted[name] = (len(found.markets), len(found.rejected))
        assert len(found.markets) + len(found.rejected) == len(rows)
        if name == "tagged":  # trimmed by its author: 22 rows lost every name they had
            assert {row.reason for row in found.rejected} == {"neither condition id, id nor slug"}
            assert all(market.tags for market in found.markets)
            continue
        assert all(market.condition_id and market.market_id for market in found.markets)
        assert all(len(market.outcomes) == len(market.token_ids) == 2 for market in found.markets)
        if name == "resolved":
            assert all(market.resolved for market in found.markets)
            winners = [market.winning_outcome for market in found.markets]
            assert (winners.count(0), winners.count(1)) == (140, 152)
        else:
            assert not any(market.resolved for market in found.markets)
    assert counted == {
        "raw": (3_330, 0),
        "compact": (35_955, 0),
        "resolved": (292, 0),
        "tagged": (5_689, 22),
    }


@pytest.mark.recorded
def test_recorded_relics_of_2020_are_read(recorded_dir: Path) -> None:
    bundle = json.loads((recorded_dir / "mixed-fixtures-nautilus.json").read_bytes())
    scalar = market_parser.gamma_market(bundle["gamma_market_closed_nonbinary_legacy"], SOURCE)
    zero = market_parser.gamma_market(bundle["gamma_market_closed_zero_zero_legacy"], SOURCE)
    assert (scalar.resolved, scalar.outcomes, scalar.start_date) == (False, ["Long", "Short"], None)
    assert (zero.resolved, zero.outcome_prices, zero.market_id) == (False, [], "12")
    for name in ("false", "true"):
        by_gamma = market_parser.gamma_market(
            bundle[f"gamma_market_closed_binary_accepting_{name}"], SOURCE
        )
        by_book = market_parser.clob_market(
            bundle[f"clob_market_closed_binary_accepting_{name}"], SOURCE
        )
        for field in ("condition_id", "token_ids", "outcomes", "winning_outcome", "resolved"):
            assert getattr(by_gamma, field) == getattr(by_book, field), field
