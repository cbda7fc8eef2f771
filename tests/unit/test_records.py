"""Identity, spelling and encoding of rows."""

import json
from typing import Any

import chdb
import msgspec
import pytest

from polybackfill import errors, records
from polybackfill.kinds import resolutions
from polybackfill.polymarket import gamma_queries, market_matching, trade_feed

WALLET = "4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68"
CONDITION = "8c1fd02e5b6a497730a0e84d92f7714bb5e63ca19d20c67f3ba5510e7d48a92c"
TX = "c12bff78413d75398bafabdaa5f69b37065579bc6e30fa43c5bf00e5c25eba9b"
TOKEN = "71204488916630214479655120933417758820161937054408273610459981266307418825513"


def make_trade(**changes: Any) -> records.Trade:
    trade = records.Trade(
        source=records.SOURCE,
        external_trade_id=records.trade_id(TX, WALLET, TOKEN, "BUY", 249.0, 1_790_620_118),
        wallet_address=WALLET,
        condition_id=CONDITION,
        market_question="Will ŠK Slovan win? “yes”\u0001\t🏁",
        side="BUY",
        outcome_index=0,
        outcome="Yes",
        token_id=TOKEN,
        market_id="",
        shares=249.0,
        price=0.97,
        cash_value=241.53,
        usdc_size=None,
        fees=0.0,
        trade_timestamp=1_790_620_118,
        tx_hash=TX,
        source_route="/v2/trades",
        fetched_at=1_790_700_000,
    )
    return msgspec.structs.replace(trade, **changes)


def make_activity(**changes: Any) -> records.Activity:
    activity = records.Activity(
        source=records.SOURCE,
        activity_id="",
        wallet_address=WALLET,
        condition_id=CONDITION,
        token_id="",
        activity_type="REDEEM",
        side="",
        outcome_index=-1,
        outcome="",
        shares=37.5,
        price=0.0,
        usdc_size=37.5,
        activity_timestamp=1_790_622_904,
        tx_hash=TX,
        is_combo=False,
        market_question="",
        raw="{}",
        fetched_at=1_790_700_000,
    )
    activity = msgspec.structs.replace(activity, **changes)
    activity.activity_id = records.activity_id(activity)
    return activity


@pytest.mark.parametrize(
    "changed",
    [
        (TX[::-1], WALLET, TOKEN, "BUY", 249.0, 1_790_620_118),
        (TX, WALLET[::-1], TOKEN, "BUY", 249.0, 1_790_620_118),
        (TX, WALLET, TOKEN[::-1], "BUY", 249.0, 1_790_620_118),
        (TX, WALLET, TOKEN, "SELL", 249.0, 1_790_620_118),
        (TX, WALLET, TOKEN, "BUY", 249.000001, 1_790_620_118),
        (TX, WALLET, TOKEN, "BUY", 249.0, 1_790_620_119),
    ],
)
def test_each_identity_field_changes_the_id(changed: tuple[str, str, str, str, float, int]) -> None:
    plain = records.trade_id(TX, WALLET, TOKEN, "BUY", 249.0, 1_790_620_118)
    assert len(plain) == 32
    assert records.trade_id(*changed) != plain


def test_float_noise_below_a_micro_share_changes_nothing() -> None:
    ids = {
        records.trade_id(TX, WALLET, TOKEN, "BUY", shares, 1)
        for shares in (0.1 + 0.2, 0.3, 0.30000000000000004, 0.2999999999999)
    }
    assert len(ids) == 1


def test_two_identical_fills_are_two_rows() -> None:
    """Seed 001, trade id: two identical fills in one read are kept."""
    trades = [make_trade(), make_trade(), make_trade(side="SELL", external_trade_id="e" * 32)]
    records.number_trades(trades)
    assert len({trade.external_trade_id for trade in trades}) == 3
    assert trades[0].external_trade_id == make_trade().external_trade_id


def test_equal_fills_are_numbered_by_price_whatever_the_direction() -> None:
    def numbered(prices: list[float]) -> dict[float, str]:
        trades = [make_trade(price=price) for price in prices]
        records.number_trades(trades)
        return {trade.price: trade.external_trade_id for trade in trades}

    assert numbered([0.5, 0.6, 0.7]) == numbered([0.7, 0.6, 0.5])


def test_an_activity_with_a_token_keeps_its_id_when_its_outcome_is_enriched() -> None:
    assert (
        make_activity(token_id=TOKEN, outcome_index=-1).activity_id
        == make_activity(token_id=TOKEN, outcome_index=1, outcome="No").activity_id
    )


def test_activities_without_a_token_differ_by_condition_type_and_outcome() -> None:
    activities = [
        make_activity(),
        make_activity(condition_id=CONDITION[::-1]),
        make_activity(activity_type="MERGE"),
        make_activity(outcome_index=1),
        make_activity(shares=0.0),
    ]
    assert len({activity.activity_id for activity in activities}) == 5


def test_repeated_activities_are_kept_apart() -> None:
    activities = [make_activity(shares=0.0), make_activity(shares=0.0)]
    records.number_activities(activities)
    assert activities[0].activity_id != activities[1].activity_id


def test_quarantining_the_same_answer_twice_gives_the_same_ids() -> None:
    def answer() -> list[records.Rejected]:
        rows = [
            records.reject(reason="side", request="/v2/trades", raw="{}", unit="u", rejected_at=at)
            for at in (1, 2)
        ]
        records.number_rejected(rows)
        return rows

    first, second = answer()
    assert first.quarantine_id != second.quarantine_id
    assert [row.quarantine_id for row in answer()] == [first.quarantine_id, second.quarantine_id]


@pytest.mark.parametrize("spelling", ["0x" + WALLET, WALLET.upper(), "0X" + WALLET.upper()])
def test_a_wallet_has_one_spelling(spelling: str) -> None:
    assert records.normalise_wallet(spelling) == WALLET
    assert records.parse_wallet(f"  {spelling}\n") == WALLET


def test_a_structural_condition_id_is_padded() -> None:
    short = "01" + "ab" * 30
    assert records.normalise_condition("0x" + short.upper()) == short + "00"
    assert records.parse_condition("0x" + short + "00") == short + "00"


@pytest.mark.parametrize("text", ["", "0x", WALLET[:-1], WALLET + "0", "g" * 40, "é" * 40])
def test_a_malformed_wallet_is_named_with_the_remedy(text: str) -> None:
    with pytest.raises(errors.Stop, match="40 hexadecimal digits") as stopped:
        records.parse_wallet(text)
    assert repr(text) in str(stopped.value)
    assert stopped.value.exit_code == errors.EXIT_CONFIG


@pytest.mark.parametrize("text", ["12", CONDITION[:-2], CONDITION + "00", "  " * 32, "a " * 32])
def test_a_malformed_condition_is_named_with_the_remedy(text: str) -> None:
    with pytest.raises(errors.Stop, match="64 hexadecimal digits"):
        records.parse_condition(text)


def test_a_very_long_input_is_not_echoed_whole() -> None:
    with pytest.raises(errors.Stop) as stopped:
        records.parse_wallet("0x" + "7" * 5_000)
    assert len(str(stopped.value)) < 300


@pytest.mark.parametrize("text", ["", "0", "000", "1" * 79, "0x12", "-1", "1e5", "१२३"])
def test_only_decimal_numbers_are_tokens(text: str) -> None:
    with pytest.raises(errors.Reject, match="token id"):
        records.normalise_token(text)


def test_tokens_of_72_to_78_digits_stay_exact() -> None:
    for digits in (72, 77, 78):
        assert records.normalise_token("9" * digits) == "9" * digits


def test_lines_are_what_clickhouse_reads() -> None:
    trade = make_trade()
    lines = records.encode_lines([trade, make_trade(usdc_size=1.5)])
    assert lines.count(b"\n") == 2
    structure = (
        "external_trade_id UUID, wallet_address String, market_question String, shares Float64, "
        "usdc_size Nullable(Float64), trade_timestamp DateTime, outcome_index Int32"
    )
    quoted = lines.decode().replace("\\", "\\\\").replace("'", "\\'")
    answer = chdb.query(
        f"SELECT * FROM format(JSONEachRow, '{structure}', '{quoted}') "
        "SETTINGS input_format_skip_unknown_fields = 1",
        "JSONEachRow",
    )
    row = json.loads(str(answer).splitlines()[0])
    assert row["external_trade_id"].replace("-", "") == trade.external_trade_id
    assert row["market_question"] == trade.market_question
    assert row["shares"] == 249
    assert row["usdc_size"] is None
    assert row["outcome_index"] == 0


@pytest.mark.parametrize("module", ["01", "02", "03"])
def test_a_request_names_a_condition_by_all_its_digits(module: str) -> None:
    """Issue text, condition ids: an unpadded one is answered 200 and no rows."""
    short = module + "5a" * 30
    shown = "0x" + short + "00"
    assert trade_feed.build_condition_query([short]).params[0] == ("condition", shown)
    assert trade_feed.build_condition_query([short]).conditions == {short + "00"}
    assert resolutions.build_query([short]).params == (("condition", shown),)
    assert ("condition_ids", shown) in gamma_queries.build_condition_query(
        [short], closed=True
    ).params
    assert ("condition_ids", shown) in market_matching.query([short], closed=True)


@pytest.mark.parametrize("broken", ["ab" * 31, "01", "", "zz" * 32])
def test_no_request_names_what_is_no_condition(broken: str) -> None:
    with pytest.raises(errors.GiveUp, match="no condition id"):
        trade_feed.build_condition_query([broken])
    with pytest.raises(errors.GiveUp, match="no condition id"):
        resolutions.build_query([broken])
    with pytest.raises(errors.GiveUp, match="no condition id"):
        gamma_queries.build_condition_query([broken], closed=False)
    with pytest.raises(errors.GiveUp, match="no condition id"):
        market_matching.query([broken], closed=False)
