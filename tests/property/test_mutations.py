"""Whatever arrives: each row is stored or quarantined, or the page is asked for again."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polybackfill import errors, records
from polybackfill.polymarket import parsing, trade_parser

ROW = {
    "proxy_wallet": "0x4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68",
    "side": "BUY",
    "token_id": "94086112935155543873623944622982589425841987761157800428904933343235050159168",
    "condition_id": "0x8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb",
    "size": 37.5,
    "price": 0.62,
    "timestamp": 1_790_363_189,
    "title": "Will “ŠK Slovan” win? 🏁",
    "outcome": "Yes",
    "outcome_index": 0,
    "transaction_hash": "0x480c4499e47e60e1582a904bfc8815b24df797b6f7f78c7d7ec6038d955b9341",
    "type": "TRADE",
    "usdc_size": 23.25,
}
REDEEM = ROW | {"type": "REDEEM", "token_id": "", "side": "", "price": 0, "outcome_index": 999}
COMBO = ROW | {"is_combo": True, "condition_id": "0x03" + "ab" * 30}
SOURCES = [
    parsing.ResponseSource(route, f"http://x{route}?a=1", "unit", 1_790_700_000)
    for route in ("/v2/activity", "/v2/trades")
]
HEX_40, HEX_64 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")

odd_numbers = st.sampled_from(
    [0, -1, 999, 2**31, 2**32, 2**63, 2**64, 10**30, 10**400, -0.0, 1e-9, 1e308, 1e18, 5.5]
)
odd_texts = st.sampled_from(["", "0x", "\0", "\x01", "BUY", "TRADE", "0x" + "F" * 40, "9" * 78])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | odd_numbers
    | st.floats(allow_nan=False, allow_infinity=False)
    | odd_texts
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
field_changes = st.dictionaries(st.sampled_from([*ROW, "is_combo", "new"]), json_values, max_size=3)
rows = st.builds(
    lambda base, changes, dropped: {
        name: value for name, value in (base | changes).items() if name != dropped
    },
    st.sampled_from([ROW, REDEEM, COMBO]),
    field_changes,
    st.none() | st.sampled_from(list(ROW)),
)
pages = st.lists(rows | json_values, max_size=5)
paginations = st.sampled_from(
    [{"has_more": False, "next_cursor": None}, {"has_more": True, "next_cursor": "c", "limit": 5}]
)


def check(body: bytes, source: parsing.ResponseSource) -> trade_parser.TradePage | None:
    """The page, with what holds for every page that is let through; None: asked for again."""
    try:
        answer = trade_parser.page(body, source)
    except errors.Retry:
        return None
    usable = len(answer.trades) + len(answer.activities)
    assert usable + len(answer.rejected) == answer.fetched_rows
    assert len(answer.seconds) == usable
    check_rows(answer)
    for kind in (answer.trades, answer.activities, answer.rejected):
        lines = records.encode_lines(kind).splitlines()
        assert [list(json.loads(line)) for line in lines] == [
            list(type(row).__struct_fields__) for row in kind
        ]
    return answer


def check_rows(answer: trade_parser.TradePage) -> None:
    for trade in answer.trades:
        assert HEX_40.fullmatch(trade.wallet_address)
        assert HEX_64.fullmatch(trade.condition_id)
        assert HEX_64.fullmatch(trade.tx_hash)
        assert trade.token_id.isdecimal()
        assert trade.side in {"BUY", "SELL"}
        assert 0 < trade.shares < 1e12
        assert 0 <= trade.cash_value < 1e15
        assert "\0" not in trade.market_question + trade.outcome
    for row in [*answer.trades, *answer.activities]:
        assert -1 <= row.outcome_index < 256
    assert all(0 < second < 2**32 for second in answer.seconds)
    assert all(row.reason for row in answer.rejected)


@settings(max_examples=400, deadline=None)
@given(pages, paginations, st.sampled_from(SOURCES), st.booleans())
@example(
    [ROW | {"outcome_index": False}], {"has_more": False, "next_cursor": None}, SOURCES[0], True
)
def test_odd_rows_never_cost_a_page(
    page: list[Any],
    pagination: dict[str, Any],
    source: parsing.ResponseSource,
    ascii_only: bool,
) -> None:
    text = json.dumps({"data": page, "pagination": pagination}, ensure_ascii=ascii_only)
    answer = check(text.encode("utf-8", "surrogatepass"), source)
    assert answer is not None
    assert answer.fetched_rows == len(page)
    # As text: to Python, an outcome index of `false` equals 0.
    untouched = sum(json.dumps(row) == json.dumps(ROW) for row in page)
    assert len(answer.trades) >= untouched


@settings(max_examples=200, deadline=None)
@given(json_values, json_values, st.sampled_from(SOURCES))
def test_odd_envelopes_are_asked_for_again(
    data: Any, pagination: Any, source: parsing.ResponseSource
) -> None:
    good = {"has_more": False, "next_cursor": None}
    for envelope in (data, {"data": data}, {"data": [ROW], "pagination": pagination}):
        assert check(json.dumps(envelope).encode(), source) is None
    answer = check(json.dumps({"data": data, "pagination": good}).encode(), source)
    # Nothing may be written as null, and one row without a list around it.
    is_rows = isinstance(data, list) or data is None or (isinstance(data, dict) and bool(data))
    assert (answer is not None) == is_rows


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_bytes_never_crash(data: st.DataObject) -> None:
    body = bytearray(
        json.dumps(
            {"data": [ROW, REDEEM, COMBO], "pagination": {"has_more": False, "next_cursor": None}},
            ensure_ascii=data.draw(st.booleans()),
        ).encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body) - 1))
        stop = start + data.draw(st.integers(0, 30))
        body[start:stop] = data.draw(
            st.binary(max_size=8)
            | st.sampled_from([b"\\ud800", b"\\", b'"', b"}", b"NaN", b"1e999"])
        )
    check(bytes(body), SOURCES[0])
    check(bytes(body[: data.draw(st.integers(0, len(body)))]), SOURCES[0])


@settings(max_examples=200, deadline=None)
@given(rows)
def test_a_quarantined_row_is_refused_for_the_same_reason_when_read_again(row: Any) -> None:
    body = json.dumps({"data": [row], "pagination": {"has_more": False, "next_cursor": None}})
    answer = check(body.encode(), SOURCES[0])
    assert answer is not None
    for rejected in answer.rejected:
        with pytest.raises(errors.Reject, match=re.escape(rejected.reason)):
            trade_parser.one_row(rejected.raw, SOURCES[0])
