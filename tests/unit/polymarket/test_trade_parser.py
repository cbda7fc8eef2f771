"""Pages become rows; what makes no sense is set aside with a reason."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polybackfill import errors, records
from polybackfill.polymarket import parsing, trade_parser

ACTIVITY = parsing.ResponseSource(
    "/v2/activity", "http://x/v2/activity?user=0x1", "wallets:1", 1_790_700_000
)
TRADES = parsing.ResponseSource("/v2/trades", "http://x/v2/trades?condition=0x1", "conditions:1", 7)
WALLET = "4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68"
CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"
TOKEN = "94086112935155543873623944622982589425841987761157800428904933343235050159168"
TX = "480c4499e47e60e1582a904bfc8815b24df797b6f7f78c7d7ec6038d955b9341"


def fill(**changes: Any) -> dict[str, Any]:
    row = {
        "proxy_wallet": "0x" + WALLET,
        "side": "BUY",
        "token_id": TOKEN,
        "condition_id": "0x" + CONDITION,
        "size": 37.5,
        "price": 0.62,
        "timestamp": 1_790_363_189,
        "title": "Bitcoin Up or Down",
        "slug": "btc",
        "icon": "",
        "event_slug": "",
        "outcome": "Down",
        "outcome_index": 1,
        "name": "quiet-heron",
        "pseudonym": "",
        "bio": "",
        "profile_image": "",
        "profile_image_optimized": "",
        "transaction_hash": "0x" + TX,
        "type": "TRADE",
        "usdc_size": 23.25,
    }
    row.update(changes)
    return {name: value for name, value in row.items() if value is not ...}


def body_of(*rows: Any, cursor: str | None = None) -> bytes:
    pagination = {"limit": 1000, "offset": 0, "has_more": cursor is not None, "next_cursor": cursor}
    return json.dumps({"data": rows, "pagination": pagination}).encode()


def parsed(*rows: Any, source: parsing.ResponseSource = ACTIVITY) -> trade_parser.TradePage:
    return trade_parser.page(body_of(*rows), source)


def trade(**changes: Any) -> records.Trade:
    answer = parsed(fill(**changes))
    assert not answer.rejected, answer.rejected
    return answer.trades[0]


def reason(**changes: Any) -> str:
    answer = parsed(fill(), fill(**changes), fill())
    assert len(answer.trades) == 2, "the rest of the page goes on"
    assert len(answer.seconds) == 2
    (rejected,) = answer.rejected
    assert rejected.request == ACTIVITY.request
    assert rejected.unit == ACTIVITY.unit
    assert json.loads(rejected.raw) == fill(**changes)
    return rejected.reason


def test_a_fill_becomes_a_row_of_the_table() -> None:
    row = trade()
    assert row.external_trade_id == records.trade_id(TX, WALLET, TOKEN, "BUY", 37.5, 1_790_363_189)
    assert (row.wallet_address, row.condition_id, row.tx_hash) == (WALLET, CONDITION, TX)
    assert (row.market_question, row.outcome, row.outcome_index) == (
        "Bitcoin Up or Down",
        "Down",
        1,
    )
    assert (row.shares, row.price, row.cash_value, row.usdc_size) == (37.5, 0.62, 23.25, 23.25)
    assert (row.source, row.source_route) == ("polymarket_data_api", "/v2/activity")
    assert (row.trade_timestamp, row.fetched_at) == (1_790_363_189, 1_790_700_000)


def test_a_trade_feed_row_needs_no_type() -> None:
    answer = parsed(fill(type=..., usdc_size=...), source=TRADES)
    assert answer.trades[0].usdc_size is None
    assert answer.trades[0].source_route == "/v2/trades"


def test_both_number_renderings_and_both_hex_cases_are_one_fill() -> None:
    """Seed 001, trade id: 5 and 5.0, capitals and 0x give the same id."""
    ids = {
        trade(size=5).external_trade_id,
        trade(size=5.0).external_trade_id,
        trade(size=5.0000000000001).external_trade_id,
        trade(size=5, proxy_wallet="0x" + WALLET.upper()).external_trade_id,
        trade(size=5, transaction_hash="0x" + TX.upper()).external_trade_id,
        trade(size=5, transaction_hash=TX, proxy_wallet=WALLET).external_trade_id,
    }
    assert len(ids) == 1


def test_enrichment_changes_no_id() -> None:
    """Seed 001, trade id: other price decimals, outcome 999 or 1, empty or filled texts: the same
    id.
    """
    fresh = {
        "title": "",
        "event_slug": "",
        "outcome": "",
        "outcome_index": 999,
        "name": "",
        "price": 0.6200000001,
    }
    assert trade(**fresh).external_trade_id == trade().external_trade_id


def test_an_unknown_outcome_is_found_from_the_token() -> None:
    assert trade(outcome_index=999).outcome_index == 1
    assert trade(outcome_index=None).outcome_index == 1
    assert trade(outcome_index=...).outcome_index == 1
    assert trade(outcome_index=-7).outcome_index == 1


def test_an_outcome_that_cannot_be_found_stays_unknown() -> None:
    assert trade(outcome_index=999, token_id="12345").outcome_index == -1


def test_missing_texts_and_nulls_outside_the_identity_are_no_reason_to_lose_a_fill() -> None:
    row = trade(title=None, outcome=None, usdc_size=None, is_combo=None, name=None)
    assert (row.market_question, row.outcome, row.usdc_size) == ("", "", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "37.5", "price": "0.62", "usdc_size": "23.25"},
        {"size": " 37.50 ", "side": "buy", "type": "trade"},
        {"timestamp": "1790363189", "outcome_index": "1", "is_combo": "false"},
        {"timestamp": 1_790_363_189.0, "outcome_index": 1.0, "is_combo": 0},
        {"timestamp": 1_790_363_189_000},
        {"timestamp": "2026-09-25T19:06:29Z", "is_combo": "False"},
        {"token_id": int(TOKEN)},
        {"title": ["odd"], "usdc_size": True, "outcome": 7, "name": {}},
        {"usdc_size": 1e308},
    ],
)
def test_a_fill_in_another_form_is_the_same_fill(changes: dict[str, Any]) -> None:
    """A release of the API that writes a field as another type loses and doubles nothing."""
    plain, drifted = trade(), trade(**changes)
    for name in ("external_trade_id", "shares", "price", "trade_timestamp", "side", "token_id"):
        assert getattr(drifted, name) == getattr(plain, name)
    assert drifted.usdc_size in {plain.usdc_size, None}
    assert drifted.outcome_index == plain.outcome_index


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"proxy_wallet": "0x12"}, "wallet"),
        ({"proxy_wallet": "0x" + "g" * 40}, "wallet"),
        ({"proxy_wallet": None}, "wallet"),
        ({"condition_id": "0x12"}, "condition"),
        ({"condition_id": ""}, "condition"),
        ({"transaction_hash": "0x" + "zz" * 32}, "transaction"),
        ({"transaction_hash": "0x" + "ab" * 31 + "  "}, "transaction"),
        ({"transaction_hash": ""}, "transaction"),
        ({"token_id": ""}, "token"),
        ({"token_id": "0xff"}, "token"),
        ({"token_id": "9" * 79}, "token"),
        ({"side": ""}, "side"),
        ({"side": "B"}, "side"),
        ({"side": 1}, "side"),
        ({"side": "BOTH"}, "side"),
        ({"size": 0}, "size"),
        ({"size": -1.0}, "size"),
        ({"size": 1e300}, "size"),
        ({"size": "1,5"}, "size"),
        ({"size": True}, "size"),
        ({"size": 1e13}, "size"),
        ({"size": None}, "size"),
        ({"price": -0.1}, "price"),
        ({"price": 1e300}, "price"),
        ({"price": "half"}, "price"),
        ({"timestamp": 0}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": 20_260_928}, "timestamp"),
        ({"timestamp": 2**32}, "timestamp"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"timestamp": "2026-09-25"}, "timestamp"),
        ({"timestamp": 1.5}, "timestamp"),
        ({"type": ""}, "type"),
        ({"type": ...}, "type"),
        ({"type": 5}, "type"),
        ({"is_combo": "maybe"}, "is_combo"),
        ({"proxy_wallet": ...}, "wallet"),
        ({"size": ...}, "size"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(changes: dict[str, Any], expected: str) -> None:
    assert expected in reason(**changes)


@pytest.mark.parametrize("row", [None, 5, "text", [], {}, [[]]])
def test_something_that_is_no_row_is_set_aside(row: Any) -> None:
    answer = parsed(fill(), row, fill())
    assert len(answer.trades) == 2
    assert [rejected.raw for rejected in answer.rejected] == [json.dumps(row)]


def test_equal_bad_rows_of_a_page_are_both_kept_and_a_replay_adds_nothing() -> None:
    ids = [row.quarantine_id for row in parsed(fill(side=""), fill(side="")).rejected]
    assert len(set(ids)) == 2
    assert [row.quarantine_id for row in parsed(fill(side=""), fill(side="")).rejected] == ids


def test_off_tick_prices_are_kept() -> None:
    assert trade(price=1.0089).price == 1.0089
    assert trade(price=0).price == 0.0


def test_a_structural_condition_id_is_padded() -> None:
    short = "02" + "cd" * 30
    assert trade(condition_id="0x" + short, token_id="77").condition_id == short + "00"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "SPLIT", "token_id": "", "side": "", "price": 0.0, "outcome_index": 999},
        {"type": "REDEEM", "side": "", "price": 0},
        {"type": "REDEEM", "side": "", "size": 0, "token_id": ""},
        {"type": "REWARD", "condition_id": "", "token_id": "", "side": "", "title": ""},
        {"type": "CONVERSION", "token_id": "", "side": ""},
        {"type": "DEPOSIT", "transaction_hash": "", "condition_id": "", "token_id": ""},
        {"type": "TIP", "side": "IN", "token_id": "", "condition_id": ""},
        {"type": "SOMETHING_OF_2027", "token_id": "", "extra": {"a": [1]}},
        {"type": "TRADE", "is_combo": True, "condition_id": "0x03" + "ab" * 30},
    ],
)
def test_whatever_is_no_plain_trade_is_kept_as_activity(changes: dict[str, Any]) -> None:
    answer = parsed(fill(), fill(**changes), fill())
    assert answer.rejected == []
    assert len(answer.trades) == 2
    (activity,) = answer.activities
    assert activity.activity_type == changes["type"]
    assert activity.is_combo is changes.get("is_combo", False)
    assert json.loads(activity.raw) == fill(**changes)
    assert activity.activity_id == records.activity_id(activity)
    assert answer.seconds == [1_790_363_189] * 3


def test_a_set_aside_row_can_be_read_again() -> None:
    raw = json.dumps(fill())
    again = trade_parser.one_row(raw, ACTIVITY)
    assert isinstance(again, records.Trade)
    assert again.external_trade_id == trade().external_trade_id
    redeem = json.dumps(fill(type="REDEEM"))
    assert isinstance(trade_parser.one_row(redeem, ACTIVITY), records.Activity)
    for bad in ("", "{", "[]", json.dumps(fill(side="x"))):
        with pytest.raises(errors.Reject):
            trade_parser.one_row(bad, ACTIVITY)


def test_control_characters_stay_and_nul_goes() -> None:
    row = trade(title="a\x00b\x01c\n🏁“é", outcome="\x00Yes")
    assert row.market_question == "ab\x01c\n🏁“é"
    assert row.outcome == "Yes"
    literal = trade(title="\\u0000 is spelled out")
    assert literal.market_question == "\\u0000 is spelled out"


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        (rb"a\ud800b", "a�b"),
        (rb"\udc00", "�"),
        (rb"\ud83c\udfc1", "🏁"),
        (rb"\\ud800", "\\ud800"),
        (rb"\ud800\ud83c\udfc1", "�🏁"),
        (b"\xff\xfe", "��"),
        (b"\xe2\x80", "�"),
    ],
)
def test_text_that_is_no_unicode_is_mended(spelled: bytes, read: str) -> None:
    body = body_of(fill(title="HERE"), fill()).replace(b"HERE", spelled)
    answer = trade_parser.page(body, ACTIVITY)
    assert [row.market_question for row in answer.trades] == [read, "Bitcoin Up or Down"]
    in_unread_field = body_of(fill(name="HERE"), fill()).replace(b"HERE", spelled)
    assert len(trade_parser.page(in_unread_field, ACTIVITY).trades) == 2


def test_unknown_fields_are_reported_from_a_sample() -> None:
    assert parsed(fill()).unknown_fields == {}
    assert parsed(fill(fee_usdc=0.1, log_index=7)).unknown_fields == {
        "fee_usdc": 1,
        "log_index": 1,
    }
    assert parsed().unknown_fields == {}


PAGINATION = b'"pagination":{"has_more":false,"next_cursor":null}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title></html>",
        b'{"error":"x","code":"internal"}',
        b'{"data":[]}',
        b'{"data":{},' + PAGINATION + b"}",
        b'{"data":[],"pagination":null}',
        b'{"data":[],"pagination":{"has_more":false}}',
        b'{"data":[],"pagination":{"next_cursor":null}}',
        b'{"data":[],"pagination":{"has_more":0,"next_cursor":null}}',
        b'{"data":[],"pagination":{"has_more":true,"next_cursor":null}}',
        b'{"data":[],"pagination":{"has_more":false,"next_cursor":"x"}}',
        b'{"data":[],"pagination":{"has_more":true,"next_cursor":""}}',
        b'{"data":[],"pagination":{"has_more":true,"next_cursor":5}}',
        b'{"data":[NaN],' + PAGINATION + b"}",
        b'{"data":[],' + PAGINATION + b"} trailing",
        b"[" * 100_000,
        b'{"data":[' + b"[" * 100_000,
        b'{"data":[{"title":' + b'{"a":' * 100_000,
        body_of(fill())[:-30],
        body_of(fill())[:200],
    ],
)
def test_what_is_no_feed_page_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(errors.Retry):
        trade_parser.page(body, ACTIVITY)


def test_limit_and_offset_are_not_needed() -> None:
    answer = trade_parser.page(b'{"data":[],' + PAGINATION + b"}", ACTIVITY)
    assert (answer.fetched_rows, answer.next_cursor) == (0, None)
    assert trade_parser.page(body_of(fill(), cursor="abc"), ACTIVITY).next_cursor == "abc"


V2_NAMES = {
    "proxyWallet": "proxy_wallet",
    "asset": "token_id",
    "conditionId": "condition_id",
    "eventSlug": "event_slug",
    "outcomeIndex": "outcome_index",
    "profileImage": "profile_image",
    "profileImageOptimized": "profile_image_optimized",
    "transactionHash": "transaction_hash",
    "usdcSize": "usdc_size",
}


def recorded_v1_rows(recorded_dir: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for path in sorted(recorded_dir.glob("data-v1-*")):
        if "-activity-" not in path.name and "-trades-" not in path.name:
            continue
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if ".jsonl" in path.name:
            stored: Any = [json.loads(line) for line in content.splitlines()]
        else:
            stored = json.loads(content)
        yield path.name, list(rows_within(stored))


def rows_within(stored: Any) -> Iterator[dict[str, Any]]:
    if isinstance(stored, dict) and "proxyWallet" in stored:
        yield {V2_NAMES.get(name, name): value for name, value in stored.items()}
    elif isinstance(stored, dict | list):
        for part in stored.values() if isinstance(stored, dict) else stored:
            yield from rows_within(part)


@pytest.mark.recorded
def test_every_recorded_v1_row_is_usable(recorded_dir: Path) -> None:
    seen = 0
    for name, rows in recorded_v1_rows(recorded_dir):
        source = TRADES if "-trades-" in name else ACTIVITY
        answer = parsed(*rows, source=source)
        assert answer.rejected == [], name
        assert len(answer.trades) + len(answer.activities) == len(rows), name
        assert answer.unknown_fields == {}, name
        assert all(row.outcome_index in {0, 1} for row in answer.trades), name
        seen += len(rows)
    assert seen > 7_500


@pytest.mark.recorded
def test_recorded_v2_pages_are_read_as_they_are(recorded_dir: Path) -> None:
    bundle = json.loads((recorded_dir / "data-v2-samples-promtbacktest.json").read_bytes())
    other = json.loads((recorded_dir / "data-v2-samples-polyoxide.json").read_bytes())
    pages = [
        (bundle["trades_all"]["response"], TRADES, 2),
        (bundle["trades_taker_only_default"]["response"], TRADES, 2),
        (bundle["activity"]["response"], ACTIVITY, 3),
        (other["trades"], TRADES, 2),
        (other["activity"], ACTIVITY, 2),
    ]
    for page, source, rows in pages:
        answer = trade_parser.page(json.dumps(page).encode(), source)
        assert answer.rejected == []
        assert len(answer.trades) + len(answer.activities) == answer.fetched_rows == rows
        assert answer.unknown_fields == {}
        assert all(row.outcome_index in {0, 1} for row in answer.trades)


@pytest.mark.recorded
def test_the_same_fill_in_v1_and_v2_has_one_id(recorded_dir: Path) -> None:
    """Seed 001, trade id: independent of the API's version."""
    bundle = json.loads((recorded_dir / "data-v2-samples-promtbacktest.json").read_bytes())
    second = trade_parser.page(json.dumps(bundle["trades_all"]["response"]).encode(), TRADES)
    first = next(
        rows
        for name, rows in recorded_v1_rows(recorded_dir)
        if name.startswith("data-v1-trades-pro")
    )
    ids = [row.external_trade_id for row in parsed(*first, source=TRADES).trades]
    assert ids == [row.external_trade_id for row in second.trades]
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("changes", "fee"),
    [
        # Recorded shapes of spring 2026: a buyer pays more, a seller gets less than size x price.
        ({"side": "BUY", "size": 40.54798, "price": 0.3, "usdc_size": 12.3}, 0.135606),
        ({"side": "SELL", "size": 10, "price": 0.12, "usdc_size": 1.19665}, 0.00335),
        ({"side": "BUY", "size": 41, "price": 0.7, "usdc_size": 28.7}, 0.0),
        ({"side": "BUY", "size": 0.45652, "price": 0.540000438096907, "usdc_size": 0.246521}, 0.0),
        ({"side": "BUY", "size": 10, "price": 0.5, "usdc_size": 4.0}, None),
        ({"side": "SELL", "size": 10, "price": 0.5, "usdc_size": 0.0}, None),
        ({"usdc_size": None}, None),
        ({"usdc_size": ...}, None),
    ],
)
def test_a_fee_is_what_changed_hands_beyond_size_times_price(
    changes: dict[str, Any], fee: float | None
) -> None:
    row = trade(**changes)
    assert row.fees == (None if fee is None else pytest.approx(fee, abs=1e-9))
    assert trade(**changes).fees == row.fees


def test_a_feed_of_a_market_knows_no_fee() -> None:
    (row,) = parsed(fill(usdc_size=..., type=...), source=TRADES).trades
    assert (row.usdc_size, row.fees) == (None, None)


@pytest.mark.parametrize("index", [None, 999, ...])
def test_an_unknown_outcome_is_read_off_a_position_of_protocol_v2(index: Any) -> None:
    structural = "01" + "5a" * 18 + "00" * 8 + "c3" * 4
    token = str(int(structural, 16) << 8 | 1)
    row = trade(condition_id="0x" + structural, token_id=token, outcome_index=index)
    assert (row.condition_id, row.outcome_index) == (structural + "00", 1)
