"""Spans: keys there and back, cuts that neither lose nor repeat a second, and what stays whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import errors
from polybackfill.polymarket import date_range

SECONDS = st.integers(0, 4_000_000_000)


@st.composite
def span(draw: st.DrawFn) -> date_range.DateRange:
    since, until = draw(st.none() | SECONDS), draw(st.none() | SECONDS)
    if since is not None and until is not None and since >= until:
        since, until = until, since + 1
    return date_range.DateRange(draw(st.booleans()), since, until)


@given(span())
def test_a_key_names_its_span(one: date_range.DateRange) -> None:
    assert date_range.parse(one.key) == one


@given(span())
def test_a_cut_leaves_no_second_out_and_takes_none_twice(one: date_range.DateRange) -> None:
    if not one.can_split:
        with pytest.raises(ValueError, match="cannot be cut"):
            one.split()
        return
    first, second = one.split()
    assert (first.since, second.until) == (one.since, one.until)
    assert first.until == second.since
    assert first.closed == second.closed == one.closed
    for half in (first, second):
        assert half.since is None or half.until is None or half.since < half.until


@given(span())
def test_cutting_comes_to_an_end(one: date_range.DateRange) -> None:
    for take_first in (True, False):
        part, cuts = one, 0
        while part.can_split:
            part = part.split()[0 if take_first else 1]
            cuts += 1
        assert cuts < 200


@pytest.mark.parametrize(
    ("key", "closed", "undated"),
    [
        ("open:..", False, False),
        ("closed:undated", True, True),
    ],
)
def test_what_has_no_date_is_never_cut(key: str, closed: bool, undated: bool) -> None:
    one = date_range.parse(key)
    assert (one.closed, one.undated, one.can_split) == (closed, undated, False)


def test_an_hour_stays_whole() -> None:
    assert not date_range.parse("open:0..3600").can_split
    assert date_range.parse("open:0..3601").can_split


@pytest.mark.parametrize(
    "key", ["", "open", "open:", "open:5", "shut:1..2", "open:2..1", "open:5..5", "open:a..b", "ab"]
)
def test_another_key_is_refused_by_name(key: str) -> None:
    assert not date_range.is_key(key)
    with pytest.raises(errors.GiveUp, match="names no span"):
        date_range.parse(key)
