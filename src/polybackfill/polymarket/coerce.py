"""What a field says, whatever form it comes in: one set of readers for all routes.

The lists have always shown one thing in many forms: arrays inside strings, numbers as text, dates
in three spellings, and "", null or nothing at all for what is missing. Feeds of trades have one
form, until a release of the API changes it. Each reader takes any JSON value. It returns the plain
one, or None (text: '') for none, and raises Reject for what cannot surely be read: nothing is
guessed. `or_none` is for fields a row can do without. Forms seen: docs.polymarket.com and recorded
answers of 2020 to 2026.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

import orjson

from polybackfill import errors, records
from polybackfill.polymarket import parsing

Json = Mapping[str, object]
Value = TypeVar("Value")
Reader = Callable[[object], object]

# Shares or USD of one row, position or market: sixteen times all USDC there is (6e10, 2026), and in
# micro-shares still a 64-bit integer. Sums over all rows stay within a Decimal(38, 6).
AMOUNT_LIMIT = 1e12
# USD a share. A share pays 1; ratios of tiny fills and averages with fees lie above it.
PRICE_LIMIT = 1e3
# Seconds written as a number: from 2001-09-09 on, so that 20260928 or 2026 is no second; and with
# MAX_SECOND below 1,000 times as much, so that milliseconds cannot be taken for anything else.
_FIRST_EPOCH = 1_000_000_000
_UNITS = (1, 10**3, 10**6, 10**9)
# ClickHouse reads a bare number of four digits as a year, and keeps dates up to 2299.
_FIRST_SECOND = 100_000
_LAST_SECOND = 9_999_999_999
# Protocol V1 and V2, as Gamma's `version` names them.
ORDINARY, STRUCTURAL = "v1", "v2"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,80}", re.ASCII)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def text(value: object) -> str:
    """Text without NUL bytes and lone surrogates; a whole number as its digits; '' for anything
    else.
    """
    if isinstance(value, str):
        clean = value.replace("\0", "") if "\0" in value else value
        return clean if clean.isascii() else _LONE_SURROGATE.sub("\ufffd", clean)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def name(value: object) -> str:
    """As `text`, for what decides where a row belongs. Raises Reject for a value that is none."""
    result = text(value)
    return result if result or is_none(value) else _refuse("not a text")


def word(value: object) -> str:
    """One of the API's own words, as it writes them: in capitals. Raises Reject."""
    if not isinstance(value, str) and value is not None:
        _refuse("not a word")
    return text(value).strip().upper()


def flag(value: object) -> bool | None:
    """true or false, also as text or as 1 and 0. Raises Reject."""
    if is_none(value) or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    truth = _TRUTHS.get(text(value).strip().lower())
    return truth if truth is not None else _refuse("neither true nor false")


def number(value: object) -> float | None:
    """A finite number, also as text. Raises Reject, also for true and false."""
    if is_none(value):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is None:
        _refuse("not a number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _refuse("not a number")
    try:
        parsed = float(value)
    except OverflowError:
        parsed = math.inf
    return parsed if math.isfinite(parsed) else _refuse("beyond any number")


def amount(value: object) -> float | None:
    """Shares or USD. Raises Reject."""
    parsed = number(value)
    if parsed is not None and not -AMOUNT_LIMIT < parsed < AMOUNT_LIMIT:
        _refuse("beyond any amount")
    return parsed


def price(value: object) -> float | None:
    """USD a share. Raises Reject."""
    parsed = number(value)
    if parsed is not None and not 0 <= parsed < PRICE_LIMIT:
        _refuse("negative or beyond any price")
    return parsed


def first_amount(*values: object) -> float | None:
    """The first of them that is one; 0 where all are missing, None where none can be read."""
    amounts_given = [or_none(amount, value) for value in values if not is_none(value)]
    return next((one for one in amounts_given if one is not None), None) if amounts_given else 0.0


def integer(value: object) -> int | None:
    """A whole number, also as text or as 3.0. Raises Reject."""
    if is_none(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _refuse("not a whole number")


def moment(value: object) -> int | None:
    """The second of an event: of epoch seconds, milli-, micro- or nanoseconds, or of RFC 3339 with
    its time of day. Raises Reject.
    """
    if isinstance(value, str) and ":" in value:
        second = _iso(value)
        return (
            second if second is not None and second <= records.MAX_SECOND else _refuse(_NO_SECOND)
        )
    if is_none(value) or value == 0:
        return None  # 0 is how the API writes a missing instant
    second = _epoch(value)
    return second if second is not None else _refuse(_NO_SECOND)


def second(value: object) -> int | None:
    """Epoch seconds of RFC 3339, Postgres text, a plain date (all UTC) or an epoch; None where it
    is none, or the sentinels 0 and 1970-01-01, or what no date column holds.
    """
    if isinstance(value, str) and or_none(number, value) is None:
        return _iso(value)
    return _epoch(value)


def array(value: object) -> list[object]:
    """An array, also inside a string; an object alone as an array of it; [] for anything else."""
    if isinstance(value, str):
        if not value.lstrip().startswith(("[", "{")):
            return []
        try:
            value = json.loads(value)  # not orjson, to which a token id is a rounded number
        except (ValueError, RecursionError):
            return []
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else []


def prices(value: object) -> list[float]:
    """Prices by outcome, also inside a string; [] unless each of them is one."""
    prices_given = [or_none(price, item) for item in array(value)]
    return [one for one in prices_given if one is not None] if None not in prices_given else []


def amounts(value: object) -> list[float]:
    """An array of amounts. Raises Reject unless each of them is one."""
    if not is_none(value) and not isinstance(value, list | str):
        _refuse("not an array")
    parsed = [amount(item) for item in array(value)]
    if None in parsed or (isinstance(value, str) and value.strip() and not parsed):
        _refuse("not an array of amounts")
    return [one for one in parsed if one is not None]


def texts(value: object) -> list[str]:
    """An array of texts, also inside a string."""
    return [text(item) for item in array(value)]


def objects(value: object) -> list[Json]:
    """The objects of an array."""
    return [item for item in array(value) if isinstance(item, dict)]


def labels(value: object) -> list[str]:
    """Tags as their labels, in order and once each; a tag may be an object or a text."""
    names = (
        text(item.get("label")) or text(item.get("slug")) if isinstance(item, dict) else text(item)
        for item in array(value)
    )
    return list(dict.fromkeys(filter(None, names)))


def tokens(value: object) -> list[str]:
    """Decimal token ids by outcome; [] unless each of them is one."""
    try:
        return [records.normalise_token(item) for item in texts(value)]
    except errors.Reject:
        return []


def version(row: Json) -> str:
    """The protocol of a market of Gamma's: as it says, else by the ids it lists."""
    if said := text(row.get("version")):
        return said
    has_positions_only = tokens(row.get("positionIds")) and not tokens(row.get("clobTokenIds"))
    return STRUCTURAL if has_positions_only else ORDINARY


def outcome_tokens(row: Json, version: str) -> list[str]:
    """The token ids of a market of Gamma's: positions for `version` v2, else those of the order
    book, since both may be filled; the others only where these are missing.
    """
    listed, position_ids = tokens(row.get("clobTokenIds")), tokens(row.get("positionIds"))
    return (position_ids or listed) if version == STRUCTURAL else (listed or position_ids)


def or_none(read: Callable[[object], Value | None], value: object) -> Value | None:
    """What a reader finds, None for what it cannot read."""
    try:
        return read(value)
    except errors.Reject:
        return None


def is_none(value: object) -> bool:
    """null, or the empty text the API writes for it."""
    return value is None or (isinstance(value, str) and not value.strip())


def row(raw: bytes, readers: Mapping[str, Reader]) -> dict[str, object]:
    """The fields of a row, each as its reader finds it. Raises Reject naming the field."""
    try:
        members = json.loads(parsing.repair_text(raw), parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise errors.Reject(f"not JSON: {problem}") from problem
    if not isinstance(members, dict):
        raise errors.Reject("not an object")
    return {field: named(field, read, members.get(field)) for field, read in readers.items()}


def named(field: str, read: Callable[[object], Value], value: object) -> Value:
    """What a reader finds. Raises Reject with the field's name."""
    try:
        return read(value)
    except errors.Reject as problem:
        raise errors.Reject(f"{field}: {problem}") from problem


def decode(body: bytes) -> object:
    """JSON of a list, also where its text is no Unicode. Raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.loads(parsing.repair_text(body))


_NO_SECOND = "not in seconds since 1970"


def _epoch(value: object) -> int | None:
    """Seconds of a number in any of the units; None for what is none of them."""
    try:
        ticks = integer(value)
    except errors.Reject:
        parsed = or_none(number, value)
        ticks = None if parsed is None else math.floor(parsed)
    if ticks is None:
        return None
    seconds = (ticks // unit for unit in _UNITS)
    return next((one for one in seconds if _FIRST_EPOCH <= one <= records.MAX_SECOND), None)


def _iso(value: str) -> int | None:
    try:
        at = datetime.fromisoformat(value.strip())
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return math.floor(seconds) if _FIRST_SECOND <= seconds <= _LAST_SECOND else None


def _refuse(reason: str) -> NoReturn:
    raise errors.Reject(reason)
