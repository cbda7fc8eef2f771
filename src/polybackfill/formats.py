"""Figures as people read them: one form each for shares, sizes, durations and counts."""

from __future__ import annotations

import math

_HUNDREDTHS = 10_000  # of a percent in a whole
_ROUNDING = 1e-9  # what a quotient of two counts may be off by, in hundredths of a percent


def percent(share: float | None) -> str:
    """`99.99 %`: rounded down, so that 100 % means all; `<0.01 %` of little; n/a of nothing."""
    if share is None or not math.isfinite(share):
        return "n/a"
    if share < 0:
        return f"-{percent(-share)}".replace("-<", ">-")
    hundredths = math.floor(share * _HUNDREDTHS + _ROUNDING)
    if share < 1:
        hundredths = min(hundredths, _HUNDREDTHS - 1)
    if not hundredths:
        return "<0.01 %" if share else "0 %"
    whole, rest = divmod(hundredths, 100)
    return f"{whole:,}{f'.{rest:02d}'.rstrip('0') if rest else ''} %"


def percent_of(part: float, whole: float) -> str:
    """The share that `part` is of `whole`; n/a when there is no whole."""
    return percent(part / whole if whole else None)


def size(count: float) -> str:
    """Bytes: `812 B`, `3.4 GB`."""
    if count < 1_000:
        return f"{count:,.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1_000
        if round(count, 1) < 1_000:
            return f"{count:.1f} {unit}"
    return f"{count / 1_000:,.1f} TB"


def duration(length_s: float) -> str:
    """`4 s`, `1 min 05 s`, `1 h 05 min`, `3 d 04 h`. A clock that was set back makes no less than
    nothing.
    """
    seconds = round(max(0.0, length_s))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 72:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days:,} d {hours:02d} h"


def count(number: float) -> str:
    """`1,234`, `1,234.57`; what is below one keeps more places, so that it does not become zero."""
    if isinstance(number, int) or number.is_integer():
        return f"{number:,.0f}"
    return f"{number:.4g}" if abs(number) < 1 else f"{number:,.2f}"


def counted(number: int, thing: str, several: str | None = None) -> str:
    """`1 row`, `2,000 rows`; `several` where more than one is not said by an s."""
    return f"{number:,} {thing if number == 1 else several or f'{thing}s'}"


def per_second(rate: float) -> str:
    """Events a second: `0.3`, `48.7`, `2,575`."""
    return f"{rate:,.0f}" if rate >= 1_000 else f"{rate:,.1f}"
