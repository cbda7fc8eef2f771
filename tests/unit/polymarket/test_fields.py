"""One thing in many spellings is read as one thing; what is nothing is read as nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        SECOND * 1000,  # milliseconds appear nowhere in these lists
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
        ('{"a": 1}', []),
        ('["torn', []),
        ('"["', []),
        (7, []),
    ],
)
def test_an_array_may_stand_in_a_string(value: Any, items: list[str]) -> None:
    assert fields.texts(value) == items


def test_numbers_are_read_from_text_and_all_of_an_array_or_none() -> None:
    assert fields.amounts('["0.5843311669077693146635445446077281", "0.41"]')[1] == 0.41
    assert fields.amounts('["1", 0]') == [1.0, 0.0]
    assert fields.amounts('["1", null]') == []
    assert fields.amount(None, "80362.86") == 80362.86
    assert fields.amount("", "NaN", True, None) == 0.0
    assert fields.amount(0, "5") == 0.0, "a zero is a number"


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


@given(ANY_JSON)
def test_no_reader_raises_on_any_value(value: Any) -> None:
    assert isinstance(fields.text(value), str)
    assert isinstance(fields.flag(value), bool)
    assert math.isfinite(fields.amount(value))
    assert all(map(math.isfinite, fields.amounts(value)))
    assert all(isinstance(item, str) for item in fields.texts(value))
    assert all(isinstance(item, str) for item in fields.labels(value))
    assert all(item.isdigit() for item in fields.tokens(value))
    second = fields.second(value)
    assert second is None or 100_000 <= second < 10**10
