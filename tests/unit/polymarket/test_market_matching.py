"""An answer about market ids is believed only when it fits its question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import errors
from polybackfill.polymarket import http, market_matching, tokens

ORDINARY, OTHER = "ab" * 32, "cd" * 32
STRUCTURAL = "01" + "7e" * 30 + "00"


def tokens_of(condition: str, kind: int = 0) -> list[str]:
    return [tokens.token_ids(condition, slot)[kind] for slot in (0, 1)]


def market(condition: str, number: object = "512", **changes: Any) -> dict[str, Any]:
    listed = json.dumps(tokens_of(condition))
    return {"id": number, "conditionId": f"0x{condition}", "clobTokenIds": listed} | changes


def judged(
    *markets: object, asked: Sequence[str] = (ORDINARY,), traded: Sequence[str] = ()
) -> market_matching.MarketMatches:
    body = json.dumps({"markets": markets}).encode()
    reply = http.Response(200, body, {}, 0.0, "http://gamma/markets/keyset")
    return market_matching.match_markets(reply, dict.fromkeys(asked, traded))


def test_the_question_repeats_its_key_and_asks_for_both_versions() -> None:
    query = market_matching.query([ORDINARY, OTHER], closed=True)
    assert [value for name, value in query if name == "condition_ids"] == [
        f"0x{ORDINARY}",
        f"0x{OTHER}",
    ]
    assert [one for one in query if one[0] != "condition_ids"] == [
        ("closed", "true"),
        ("version", "v1"),
        ("version", "v2"),
        ("limit", "100"),
    ]


@pytest.mark.parametrize("kind", [0, 1])
def test_tokens_of_either_collateral_fit_in_any_order(kind: int) -> None:
    first, second = tokens_of(ORDINARY, kind)
    for listed in (f'["{first}", "{second}"]', [second, first]):
        answer = judged(market(ORDINARY, clobTokenIds=listed))
        assert answer.matched[ORDINARY].market_id == "512"
        assert answer.matched[ORDINARY].tokens == "fit"


def test_an_answer_for_another_condition_is_not_believed() -> None:
    """Seed 004, market-id resolver: accepts only answers whose condition equals the request."""
    answer = judged(market(OTHER), market("", conditionId=None), {"id": "12"})
    assert (answer.matched, answer.refused, answer.foreign) == ({}, {}, 3)


def test_foreign_tokens_refuse_a_market_that_names_the_condition() -> None:
    for listed in (tokens_of(OTHER), [tokens_of(ORDINARY)[0], "12345"]):
        answer = judged(market(ORDINARY, clobTokenIds=json.dumps(listed)))
        assert answer.refused == {ORDINARY: "tokens_do_not_fit"}
        assert answer.matched == {}


def test_markets_without_tokens_count_by_their_condition_alone() -> None:
    for nothing in (None, "", "[]", "null", "broken"):
        answer = judged(market(ORDINARY, clobTokenIds=nothing))
        assert answer.matched[ORDINARY].tokens == "unknown"


def test_protocol_v2_is_held_against_traded_tokens() -> None:
    """Its ids follow no published rule, and its condition leaks in 62 digits."""
    row = market(STRUCTURAL, clobTokenIds=None, positionIds=["71", "72"])
    row["conditionId"] = f"0x{STRUCTURAL[:-2]}"
    asked = (STRUCTURAL,)
    assert judged(row, asked=asked).matched[STRUCTURAL].tokens == "unknown"
    assert judged(row, asked=asked, traded=("72",)).matched[STRUCTURAL].tokens == "traded"
    assert judged(row, asked=asked, traded=("73",)).refused == {STRUCTURAL: "tokens_do_not_fit"}


@pytest.mark.parametrize("number", ["", None, "unknown", "1e3", "-5", "٣", 1.5, True, "9" * 21])
def test_what_is_no_number_is_no_market_id(number: object) -> None:
    assert judged(market(ORDINARY, number)).refused == {ORDINARY: "market_without_id"}


def test_of_two_markets_of_a_condition_the_later_one_stands() -> None:
    answer = judged(market(ORDINARY, "99"), market(ORDINARY, 1000), market(ORDINARY, ""))
    assert answer.matched[ORDINARY].market_id == "1000"
    assert answer.refused == {}


@pytest.mark.parametrize("body", [b"[]", b'{"events": []}', b'{"markets": null}', b"{", b"null"])
def test_what_is_no_list_of_markets_is_asked_again(body: bytes) -> None:
    reply = http.Response(200, body, {}, 0.0, "http://gamma/markets/keyset")
    with pytest.raises(errors.Retry):
        market_matching.match_markets(reply, {ORDINARY: ()})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "id": st.sampled_from(["5", 6]) | JSON,
                "conditionId": st.sampled_from([f"0x{ORDINARY}", OTHER]) | JSON,
                "clobTokenIds": JSON,
                "positionIds": JSON,
            },
        )
        | JSON
    )
)
def test_no_row_breaks_the_reading(rows: list[Any]) -> None:
    answer = judged(*rows)
    assert set(answer.matched) | set(answer.refused) <= {ORDINARY}
    assert not set(answer.matched) & set(answer.refused)


def test_reasons_of_failed_requests() -> None:
    """Seed 004, ingestion resolver: api_404, api_timeout, api_error."""
    assert market_matching.reason_of(errors.GiveUp("gone", status=404)) == "api_404"
    assert market_matching.reason_of(errors.GiveUp("bad", status=422)) == "api_error"
    assert market_matching.reason_of(errors.Retry("late", timed_out=True)) == "api_timeout"
    assert market_matching.reason_of(errors.Retry("busy")) == "api_error"


@pytest.mark.recorded
def test_the_recorded_answer_to_a_misspelt_filter(recorded_dir: Path) -> None:
    """Market 12, which Gamma gives to everybody whose filter it does not know."""
    path = recorded_dir / "gamma-market-id12-wrong-parameter-cascadian.json"
    held = json.loads(path.read_text())
    answer = judged(held)
    assert (answer.matched, answer.foreign) == ({}, 1)
    own = held["conditionId"].removeprefix("0x")
    assert judged(held, asked=(own,)).matched[own].market_id == "12"
