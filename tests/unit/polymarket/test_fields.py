"""One thing in many spellings is read as one thing; what is nothing is read as nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import errors
from polybackfill.polymarket import fields

TOKEN = "94086112935155543873623944622982589425841987761157800428904933343235050159168"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SECOND = 1_790_617_587


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-09-28T17:46:27Z", SECOND),
        ("2026-09-28T17:46:27.118Z", SECOND),
        ("2026-09-28T17:46:27.939464Z", SECOND),
        ("2026-09-28 17:46:27+00", SECOND),
        ("2026-09-28 17:46:27.5+00", SECOND),
        ("2026-09-28T19:46:27+02:00", SECOND),
        ("2026-09-28T17:46:27", SECOND),
        (" 2026-09-28 17:46:27 ", SECOND),
        ("2026-09-28", SECOND - 63_987),
        (SECOND, SECOND),
        (str(SECOND), SECOND),
        (float(SECOND), SECOND),
        (SECOND * 1000, SECOND),
        (f"{SECOND}118", SECOND),
        (SECOND * 1_000_000 + 5, SECOND),
    ],
)
def test_a_date_in_any_spelling_is_the_same_second(value: Any, seconds: int) -> None:
    assert fields.second(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "1970-01-01",
        "0",
        0,
        True,
        2026,  # a year, not a second
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "2026-13-01",
        [],
        {},
        math.inf,
    ],
)
def test_what_is_no_date_is_none(value: Any) -> None:
    assert fields.second(value) is None


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ('["Yes", "No"]', ["Yes", "No"]),
        (["Yes", "No"], ["Yes", "No"]),
        ('["\\u017dluk\\u00fd", ""]', ["Žluký", ""]),
        ("[]", []),
        ("", []),
        (None, []),
        ('{"label": "Yes"}', [""]),
        ('["torn', []),
        ('"["', []),
        (7, []),
    ],
)
def test_an_array_may_stand_in_a_string(value: Any, items: list[str]) -> None:
    assert fields.texts(value) == items


def test_numbers_are_read_from_text_and_all_of_an_array_or_none() -> None:
    assert fields.prices('["0.5843311669077693146635445446077281", "0.41"]')[1] == 0.41
    assert fields.prices('["1", 0]') == [1.0, 0.0]
    assert fields.prices('["1", null]') == []
    assert fields.first_amount(None, "80362.86") == 80362.86
    assert fields.first_amount("", None) == 0.0
    assert fields.first_amount(0, "5") == 0.0, "a zero is a number"
    assert fields.first_amount(1e308, "5") == 5.0
    assert fields.first_amount("", "NaN", True, None) is None, "something is there, but what?"


def test_token_ids_are_all_decimal_numbers_or_none_of_them() -> None:
    assert fields.tokens(f'["{TOKEN}", "12"]') == [TOKEN, "12"]
    assert fields.tokens([TOKEN, ""]) == []
    assert fields.tokens('["0x12", "13"]') == []


def test_tags_are_labels_once_each_in_order() -> None:
    tags = [{"label": "Crypto"}, {"slug": "15m"}, "Sports", {"label": "Crypto"}, {}, 3, None]
    assert fields.labels(tags) == ["Crypto", "15m", "Sports", "3"]


def test_text_loses_nul_bytes_only() -> None:
    assert fields.text(" a\0b ") == " ab "
    assert fields.text(12) == "12"
    assert fields.text(True) == fields.text(None) == fields.text(["a"]) == ""


@pytest.mark.parametrize(
    ("read", "forms", "meant"),
    [
        (fields.number, (12.5, "12.5", " 12.5 ", "+12.50", "1.25e1"), 12.5),
        (fields.number, (12, 12.0, "12", "12."), 12.0),
        (fields.amount, (0, "0", -0.0, "0.000"), 0.0),
        (fields.whole, (3, 3.0, "3", " 3 "), 3),
        (fields.flag, (True, "true", "TRUE", " True", 1, "1", 1.0), True),
        (fields.flag, (False, "false", "False", 0, "0"), False),
        (fields.word, ("BUY", "buy", " Buy "), "BUY"),
        (fields.text, ("7", 7, 7.0), "7"),
        (fields.text, (int(TOKEN),), TOKEN),
        (fields.moment, (SECOND, str(SECOND), float(SECOND), SECOND + 0.7, SECOND * 1000), SECOND),
        (fields.moment, ("2026-09-28T17:46:27Z", f"{SECOND}.118", f"{SECOND}118"), SECOND),
        (fields.moment, (SECOND * 10**6, SECOND * 10**9, "2026-09-28 19:46:27+02"), SECOND),
    ],
)
def test_one_value_in_many_forms(read: Any, forms: tuple[Any, ...], meant: Any) -> None:
    found = [read(form) for form in forms]
    assert found == [meant] * len(forms)
    assert {type(one) for one in found} == {type(meant)}


@pytest.mark.parametrize("read", [fields.number, fields.amount, fields.price, fields.whole])
@pytest.mark.parametrize(
    "value",
    [True, False, [], {}, [5], "five", "1,234.5", "0x10", "1_000", "NaN", "inf", "-", "1e", "१२"],
)
def test_what_is_no_number_is_refused(read: Any, value: Any) -> None:
    with pytest.raises(errors.Reject):
        read(value)


@pytest.mark.parametrize(
    "value", [1e308, -1e308, "1e308", "1e400", 10**400, math.inf, math.nan, 1e12, "-1000000000000"]
)
def test_what_no_amount_can_be_is_refused(value: Any) -> None:
    with pytest.raises(errors.Reject):
        fields.amount(value)


@pytest.mark.parametrize(
    "value", [True, "soon", "2026-09-28", 20_260_928, "20260928", 2026, -SECOND, 1e308, 10**30, []]
)
def test_what_is_surely_no_second_is_refused(value: Any) -> None:
    with pytest.raises(errors.Reject):
        fields.moment(value)


@pytest.mark.parametrize(
    "read",
    [fields.number, fields.amount, fields.price, fields.whole, fields.flag, fields.moment],
)
@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_nothing_is_none_to_every_reader(read: Any, nothing: Any) -> None:
    assert read(nothing) is None


@given(ANY_JSON)
def test_every_reader_finds_what_is_meant_or_refuses(value: Any) -> None:
    for read in (fields.number, fields.amount, fields.price):
        found = fields.or_none(read, value)
        assert found is None or (math.isfinite(found) and found == float(value))
    index = fields.or_none(fields.whole, value)
    assert index is None or index == float(value)
    assert fields.or_none(fields.flag, value) in {True, False, None}
    at = fields.or_none(fields.moment, value)
    assert at is None or 100_000 <= at < 2**32


@given(ANY_JSON)
def test_what_a_row_can_do_without_never_raises(value: Any) -> None:
    assert isinstance(fields.text(value), str)
    assert all(map(math.isfinite, fields.prices(value)))
    assert all(isinstance(item, str) for item in fields.texts(value))
    assert all(isinstance(item, str) for item in fields.labels(value))
    assert all(item.isdigit() for item in fields.tokens(value))
    second = fields.second(value)
    assert second is None or 100_000 <= second < 10**10
