"""One form for each kind of figure, and none that says more than is true."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import formats

counts = st.integers(0, 10**12)


def _value(text: str) -> float:
    return float(text.removesuffix(" %").removeprefix("<").replace(",", ""))


@given(counts, counts)
def test_a_share_is_all_or_nothing_only_when_it_is(one: int, other: int) -> None:
    part, whole = min(one, other), max(one, other)
    text = formats.percent_of(part, whole)
    if not whole:
        assert text == "n/a"
        return
    assert re.fullmatch(r"\d{1,3}(\.\d{1,2})? %|<0\.01 %", text)
    assert (text == "100 %") == (part == whole)
    assert (text == "0 %") == (part == 0)
    if not text.startswith("<"):
        exact = 100 * part / whole
        assert exact - 0.010001 <= _value(text) <= exact + 1e-6, "rounded down"


@given(st.integers(1, 10_000))
def test_whole_hundredths_are_not_rounded_away(hundredths: int) -> None:
    assert _value(formats.percent(hundredths / 10_000)) == hundredths / 100


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (44_044, 44_045, "99.99 %"),
        (99_998, 100_000, "99.99 %"),
        (1, 3_000_000, "<0.01 %"),
        (57, 100, "57 %"),
        (29, 100, "29 %"),
        (3, 2, "150 %"),
        (303, 1_000, "30.3 %"),
    ],
)
def test_shares(part: int, whole: int, words: str) -> None:
    assert formats.percent_of(part, whole) == words


def test_what_is_no_share() -> None:
    assert formats.percent(None) == formats.percent(float("nan")) == "n/a"
    assert formats.percent(-0.125) == "-12.5 %"


@given(st.floats(0, 1e17))
def test_a_size_has_at_most_three_digits_before_its_unit(count: float) -> None:
    text = formats.size(count)
    number, unit = text.split()
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert abs(float(number.replace(",", "")) * scale - count) <= scale * 0.5001
    if unit != "TB":
        assert len(number.split(".")[0]) <= 3


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (999_960, "1.0 MB"), (3.4e9, "3.4 GB")]
)
def test_sizes(count: float, words: str) -> None:
    assert formats.size(count) == words


@pytest.mark.parametrize(
    ("length_s", "words"),
    [
        (-34_559_882, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3_599.6, "1 h 00 min"),
        (90_061, "25 h 01 min"),
        (35.2 * 86_400, "35 d 04 h"),
    ],
)
def test_durations(length_s: float, words: str) -> None:
    assert formats.duration(length_s) == words


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_longer_duration_never_reads_shorter(one: float, other: float) -> None:
    def seconds(text: str) -> float:
        units = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
        words = text.replace(",", "").split()
        pairs = zip(words[::2], words[1::2], strict=True)
        return sum(float(number) * units[unit] for number, unit in pairs)

    short, long = sorted((one, other))
    assert seconds(formats.duration(short)) <= seconds(formats.duration(long))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (1_234_567, "1,234,567"),
        (1_234.567, "1,234.57"),
        (-0.0004, "-0.0004"),
        (2.0, "2"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_counts(number: float, words: str) -> None:
    assert formats.count(number) == words
