"""One thing in many spellings is read as one thing; what is nothing is read as nothing."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import errors
from polybackfill.polymarket import coerce

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
    assert coerce.second(value) == seconds


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
    assert coerce.second(value) is None


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
    assert coerce.texts(value) == items


def test_numbers_are_read_from_text_and_all_of_an_array_or_none() -> None:
    assert coerce.prices('["0.5843311669077693146635445446077281", "0.41"]')[1] == 0.41
    assert coerce.prices('["1", 0]') == [1.0, 0.0]
    assert coerce.prices('["1", null]') == []
    assert coerce.first_amount(None, "80362.86") == 80362.86
    assert coerce.first_amount("", None) == 0.0
    assert coerce.first_amount(0, "5") == 0.0, "a zero is a number"
    assert coerce.first_amount(1e308, "5") == 5.0
    assert coerce.first_amount("", "NaN", True, None) is None, "something is there, but what?"


def test_token_ids_are_all_decimal_numbers_or_none_of_them() -> None:
    assert coerce.tokens(f'["{TOKEN}", "12"]') == [TOKEN, "12"]
    assert coerce.tokens([TOKEN, ""]) == []
    assert coerce.tokens('["0x12", "13"]') == []


def test_tags_are_labels_once_each_in_order() -> None:
    tags = [{"label": "Crypto"}, {"slug": "15m"}, "Sports", {"label": "Crypto"}, {}, 3, None]
    assert coerce.labels(tags) == ["Crypto", "15m", "Sports", "3"]


def test_text_loses_nul_bytes_only() -> None:
    assert coerce.text(" a\0b ") == " ab "
    assert coerce.text(12) == "12"
    assert coerce.text(True) == coerce.text(None) == coerce.text(["a"]) == ""


@pytest.mark.parametrize(
    ("read", "forms", "meant"),
    [
        (coerce.number, (12.5, "12.5", " 12.5 ", "+12.50", "1.25e1"), 12.5),
        (coerce.number, (12, 12.0, "12", "12."), 12.0),
        (coerce.amount, (0, "0", -0.0, "0.000"), 0.0),
        (coerce.integer, (3, 3.0, "3", " 3 "), 3),
        (coerce.flag, (True, "true", "TRUE", " True", 1, "1", 1.0), True),
        (coerce.flag, (False, "false", "False", 0, "0"), False),
        (coerce.word, ("BUY", "buy", " Buy "), "BUY"),
        (coerce.text, ("7", 7, 7.0), "7"),
        (coerce.text, (int(TOKEN),), TOKEN),
        (coerce.moment, (SECOND, str(SECOND), float(SECOND), SECOND + 0.7, SECOND * 1000), SECOND),
        (coerce.moment, ("2026-09-28T17:46:27Z", f"{SECOND}.118", f"{SECOND}118"), SECOND),
        (coerce.moment, (SECOND * 10**6, SECOND * 10**9, "2026-09-28 19:46:27+02"), SECOND),
    ],
)
def test_one_value_in_many_forms(read: Any, forms: tuple[Any, ...], meant: Any) -> None:
    found = [read(form) for form in forms]
    assert found == [meant] * len(forms)
    assert {type(one) for one in found} == {type(meant)}


@pytest.mark.parametrize("read", [coerce.number, coerce.amount, coerce.price, coerce.integer])
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
        coerce.amount(value)


@pytest.mark.parametrize(
    "value", [True, "soon", "2026-09-28", 20_260_928, "20260928", 2026, -SECOND, 1e308, 10**30, []]
)
def test_what_is_surely_no_second_is_refused(value: Any) -> None:
    with pytest.raises(errors.Reject):
        coerce.moment(value)


@pytest.mark.parametrize(
    "read",
    [coerce.number, coerce.amount, coerce.price, coerce.integer, coerce.flag, coerce.moment],
)
@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_nothing_is_none_to_every_reader(read: Any, nothing: Any) -> None:
    assert read(nothing) is None


@given(ANY_JSON)
def test_every_reader_finds_what_is_meant_or_refuses(value: Any) -> None:
    for read in (coerce.number, coerce.amount, coerce.price):
        found = coerce.or_none(read, value)
        assert found is None or (math.isfinite(found) and found == float(value))
    index = coerce.or_none(coerce.integer, value)
    # Exactly: a float would round what is above 2**53.
    assert index is None or index == Fraction(value)
    assert coerce.or_none(coerce.flag, value) in {True, False, None}
    at = coerce.or_none(coerce.moment, value)
    assert at is None or 100_000 <= at < 2**32


@given(ANY_JSON)
def test_what_a_row_can_do_without_never_raises(value: Any) -> None:
    assert isinstance(coerce.text(value), str)
    assert all(map(math.isfinite, coerce.prices(value)))
    assert all(isinstance(item, str) for item in coerce.texts(value))
    assert all(isinstance(item, str) for item in coerce.labels(value))
    assert all(item.isdigit() for item in coerce.tokens(value))
    second = coerce.second(value)
    assert second is None or 100_000 <= second < 10**10
