"""Sweeps: few coarse spans that cover every second, found again after they were cut."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import units
from polybackfill.polymarket import date_range, list_partitions

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC).timestamp()
MOMENTS = st.integers(
    int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
    int(datetime(2060, 1, 1, tzinfo=UTC).timestamp()),
)


@given(MOMENTS, st.booleans())
def test_a_sweep_covers_every_second_once_and_what_has_no_date(now: int, closed: bool) -> None:
    *dated, last = [date_range.parse(key) for key in list_partitions.sweep(now, closed=closed)]
    assert last == date_range.DateRange(closed, undated=True)
    dated.reverse()
    assert dated[0].since is None
    assert dated[-1].until is None
    assert all(before.until == after.since for before, after in itertools.pairwise(dated))
    assert dated[-2].since is not None
    assert dated[-1].since is not None
    assert dated[-2].since <= now < dated[-1].since, "the present month has an end"
    assert {span.closed for span in dated} == {closed}


def test_a_sweep_is_few_spans_newest_first_and_the_same_all_month() -> None:
    keys = list(list_partitions.sweep(NOW, closed=True))
    assert len(keys) == 3 + 3 + 4 * 12 - 1
    assert keys[0] == f"closed:{int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())}.."
    assert keys == list(list_partitions.sweep(NOW + 8 * 86_400, closed=True))


def test_only_spans_can_be_split() -> None:
    assert list_partitions.can_split("open:0..86400")
    assert not list_partitions.can_split("open:0..60")
    assert not list_partitions.can_split("ab" * 32)
    assert not list_partitions.can_split("clob:0-1000")
    assert list_partitions.split("open:0..86400") == ("open:0..43200", "open:43200..86400")


def test_a_unit_with_one_span_splits_into_two_units() -> None:
    unit = units.Unit("markets", ("closed:0..86400",), expected_rows=10)
    assert units.can_split(unit)
    first, second = units.split(unit)
    assert (first.keys, second.keys) == (("closed:0..43200",), ("closed:43200..86400",))
    assert (first.kind, first.expected_rows) == ("markets", 5)
    assert not units.can_split(units.Unit("markets", ("closed:undated",)))
    with pytest.raises(ValueError, match="cannot be split"):
        units.split(units.Unit("markets", ("closed:..",)))


@given(st.lists(st.booleans(), max_size=60))
def test_a_span_that_was_cut_is_found_as_its_parts(turns: list[bool]) -> None:
    """Cut anything at random; what is left is what `parts` names, in order of time."""
    key, left = "open:1700000000..1702678400", ["open:1700000000..1702678400"]
    for number, cut_first in enumerate(turns):
        place = 0 if cut_first else number % len(left)
        if list_partitions.can_split(left[place]):
            left[place : place + 1] = list_partitions.split(left[place])
    assert list(list_partitions.parts(key, set(left).__contains__)) == left
    assert list(list_partitions.parts(key, lambda _: False)) == [key]
