"""What a field of a market or event says, whatever it holds.

The lists show one thing in many forms: arrays inside strings, numbers as text, dates in three
spellings, and "", null or nothing at all for what is missing. Each reader here takes any JSON value
and returns the plain one, or the empty one where there is none; nothing raises. Forms seen:
docs.polymarket.com and recorded answers of 2020 to 2026.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from polybackfill import errors, records

Json = Mapping[str, object]

# ClickHouse reads a bare number of four digits as a year, and keeps dates up to 2299.
_FIRST_SECOND = 100_000
_LAST_SECOND = 9_999_999_999


def text(value: object) -> str:
    """Text without NUL bytes; a number as its digits; '' for anything else."""
    if isinstance(value, str):
        return value.replace("\0", "") if "\0" in value else value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def flag(value: object) -> bool:
    """true, also as text."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def amount(*values: object) -> float:
    """The first finite number among the values, also as text; 0 when there is none."""
    for value in values:
        number = _number(value)
        if number is not None:
            return number
    return 0.0


def amounts(value: object) -> list[float]:
    """An array of numbers, also inside a string; [] unless each of them is one."""
    numbers = [_number(item) for item in array(value)]
    return [number for number in numbers if number is not None] if None not in numbers else []


def texts(value: object) -> list[str]:
    """An array of texts, also inside a string."""
    return [text(item) for item in array(value)]


def array(value: object) -> list[object]:
    """An array, also inside a string; [] for anything else."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return []
        try:
            value = orjson.loads(value)
        except ValueError:
            return []
    return value if isinstance(value, list) else []


def objects(value: object) -> list[Json]:
    """The objects of an array."""
    return [item for item in array(value) if isinstance(item, dict)]


def labels(value: object) -> list[str]:
    """Tags as their labels, in order and once each; a tag may be an object or a text."""
    found = (
        text(item.get("label")) or text(item.get("slug")) if isinstance(item, dict) else text(item)
        for item in array(value)
    )
    return list(dict.fromkeys(filter(None, found)))


def tokens(value: object) -> list[str]:
    """Decimal token ids by outcome; [] unless each of them is one."""
    try:
        return [records.normalise_token(item) for item in texts(value)]
    except errors.Reject:
        return []


def second(value: object) -> int | None:
    """Epoch seconds of RFC 3339, Postgres text, a plain date (all UTC) or epoch seconds."""
    number = _number(value)
    if number is not None:
        return _storable(number)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return _storable((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _storable(seconds: float) -> int | None:
    """None for milliseconds, the sentinels 0 and 1970-01-01, and what no date column holds."""
    return math.floor(seconds) if _FIRST_SECOND <= seconds <= _LAST_SECOND else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
