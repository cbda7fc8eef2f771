"""What one row is: its columns, its identity, and the one spelling of every id.

Wallets, condition ids and transaction hashes are stored lower case without 0x, token ids as
decimal text, times as epoch seconds. The API gives rows no id (no log index, no order hash), so a
row's id is a hash of what never changes between two fetches of the same fill, and an ordinal among
the rows equal in all of that. Price, outcome index and every text stay out of a trade's hash: they
are rounded, enriched or renamed later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

import msgspec

from polybackfill import errors

SOURCE = "polymarket_data_api"
UNKNOWN_OUTCOME = -1
# The last second a ClickHouse DateTime can hold.
MAX_SECOND = 2**32 - 1
# Shares carry at most 6 decimals, the unit of the token contracts.
MICRO = 1e6
_CONDITION_DIGITS = 64
_STRUCTURAL_DIGITS = 62
_STRUCTURAL_PREFIXES = ("01", "02", "03")


class Row(msgspec.Struct, gc=False):
    """What is stored of one thing that the API tells: its fields are the columns of its table."""


class Trade(Row, gc=False):
    """One row of `external_trades_raw`. `shares` in shares, `price` and values in USD.

    `usdc_size`, `fees`: None where the feed does not tell them.
    """

    source: str
    external_trade_id: str
    wallet_address: str
    condition_id: str
    market_question: str
    side: str
    outcome_index: int
    outcome: str
    token_id: str
    market_id: str
    shares: float
    price: float
    cash_value: float
    usdc_size: float | None
    fees: float | None
    trade_timestamp: int
    tx_hash: str
    source_route: str
    fetched_at: int


class Activity(Row, gc=False):
    """One row of `wallet_activity_raw`: all that is no plain trade of a token. `raw`: its JSON."""

    source: str
    activity_id: str
    wallet_address: str
    condition_id: str
    token_id: str
    activity_type: str
    side: str
    outcome_index: int
    outcome: str
    shares: float
    price: float
    usdc_size: float | None
    activity_timestamp: int
    tx_hash: str
    is_combo: bool
    market_question: str
    raw: str
    fetched_at: int


class Market(Row, gc=False):
    """One row of `api_market_rows`: a market as one list (`source`: gamma, clob) shows it.

    Volume and liquidity in USD, None where they cannot be read; prices in USD a share by outcome,
    dates in epoch seconds.
    `condition_id`: '' for drafts and relics without one, `neg_risk_market_id`: '' outside of one.
    `version`: of two rows of a key the one with the higher is newer (`Clock.tick`); times are for
    people.
    """

    source: str
    condition_id: str
    market_id: str
    market_slug: str
    question: str
    description: str
    outcomes: list[str]
    outcome_prices: list[float]
    token_ids: list[str]
    active: bool
    closed: bool
    archived: bool
    resolved: bool
    winning_outcome: int | None
    start_date: int | None
    end_date: int | None
    closed_at: int | None
    volume: float | None
    liquidity: float | None
    neg_risk: bool
    category: str
    tags: list[str]
    event_id: str
    event_slug: str
    protocol_version: str
    neg_risk_market_id: str
    created_at: int | None
    fetched_at: int
    version: int


class Event(Row, gc=False):
    """One row of `api_event_rows`; units as in `Market`."""

    event_id: str
    event_slug: str
    title: str
    category: str
    tags: list[str]
    active: bool
    closed: bool
    start_date: int | None
    end_date: int | None
    closed_at: int | None
    volume: float | None
    liquidity: float | None
    neg_risk: bool
    market_ids: list[str]
    condition_ids: list[str]
    protocol_version: str
    neg_risk_market_id: str
    fetched_at: int
    version: int


class Position(Row, gc=False):
    """One row of `api_positions_landing`: what a wallet holds, or held, of one outcome.

    `size`, `total_size` (bought in all) in shares, prices and values in USD. `market`: its slug.
    `entry_price`: the average paid, above 1 at times, None where there is none. `last_event_at`: 0
    when unknown. `timestamp`: second in which the reading of the wallet began; `version`: twice the
    tick (`Clock.tick`) of its request, and one more, so that the newest sight of it wins.
    """

    wallet_address: str
    condition_id: str
    outcome: int
    asset_id: str
    market: str
    status: str
    size: float
    entry_price: float | None
    total_size: float | None
    current_price: float | None
    current_value: float | None
    realized_pnl: float | None
    unrealized_pnl: float | None
    entry_fees: float | None
    outcome_label: str
    last_event_at: int
    timestamp: int
    version: int


class Mark(Row, gc=False):
    """A row that tells the store something and is no data."""


class PositionsEnd(Mark, gc=False):
    """The last row of a complete reading of a wallet: what is older than it is gone.

    `version`: twice the tick with which the reading began, and one more.
    """

    wallet_address: str
    timestamp: int
    version: int
    is_end: bool = True


class Rejected(Row, gc=False):
    """One row of `quarantine`: what could not be used, why, and the question it answered."""

    quarantine_id: str
    reason: str
    request: str
    raw: str
    unit: str
    rejected_at: int


_ENCODER = msgspec.json.Encoder()
_by_price = attrgetter("price")
_fromhex = bytes.fromhex
# Copying an empty hash takes a third less time than building one.
_new_hash = hashlib.blake2b(digest_size=16).copy


def encode_lines(rows: Sequence[Row]) -> bytes:
    """The rows as JSON lines, in column names, as ClickHouse's JSONEachRow reads them."""
    return _ENCODER.encode_lines(rows)


def trade_id(  # noqa: PLR0917 - the identity has six parts and is computed for every row
    tx_hash: str, wallet: str, token_id: str, side: str, shares: float, second: int
) -> str:
    """32 hex digits naming a fill, from normalised ids. Ordinal 0; see `number_trades`."""
    named = _new_hash()
    named.update(f"{tx_hash}|{wallet}|{token_id}|{side}|{round(shares * MICRO)}|{second}".encode())
    return named.hexdigest()


def activity_id(row: Activity) -> str:
    """32 hex digits naming an activity, ordinal 0.

    A row with a token is named by it, so that an outcome index enriched later changes nothing; a
    row without one by its condition and outcome index.
    """
    subject = [row.token_id] if row.token_id else [row.condition_id, row.outcome_index]
    parts = [
        row.tx_hash,
        row.wallet_address,
        subject,
        row.activity_type,
        row.side,
        round(row.shares * MICRO),
        row.activity_timestamp,
    ]
    return _digest(_ENCODER.encode(parts))


def number_trades(trades: Sequence[Trade]) -> None:
    """Give equal fills of complete seconds their own ids, in place.

    The sequence must hold every row of each second it touches, each with its plain id. Equal rows
    are ordered by price before they are numbered, so that a walk in the other direction gives each
    the same number.
    """
    if len({trade.external_trade_id for trade in trades}) == len(trades):
        return
    repeats: dict[str, int] = {}
    for trade in sorted(trades, key=_by_price):
        plain_id = trade.external_trade_id
        ordinal = repeats[plain_id] = repeats.get(plain_id, -1) + 1
        trade.external_trade_id = _numbered(plain_id, ordinal)


def ids_of_equal_trades(plain_id: str, count: int) -> set[str]:
    """The ids of so many fills that are equal in all that `trade_id` names."""
    return {_numbered(plain_id, ordinal) for ordinal in range(count)}


def number_activities(activities: Sequence[Activity]) -> None:
    """As `number_trades`, for activities."""
    if len({activity.activity_id for activity in activities}) == len(activities):
        return
    repeats: dict[str, int] = {}
    for activity in sorted(activities, key=_by_price):
        plain_id = activity.activity_id
        ordinal = repeats[plain_id] = repeats.get(plain_id, -1) + 1
        activity.activity_id = _numbered(plain_id, ordinal)


def reject(*, reason: str, request: str, raw: str, unit: str, rejected_at: int) -> Rejected:
    """A quarantined row whose id is the same whenever the same answer is read again."""
    name = _digest(_ENCODER.encode([raw, reason, request]))
    return Rejected(name, reason, request, raw, unit, rejected_at)


def number_rejected(rejected: Sequence[Rejected]) -> None:
    """Keep equal bad rows of one answer apart, in place."""
    repeats: dict[str, int] = {}
    for row in rejected:
        plain_id = row.quarantine_id
        ordinal = repeats[plain_id] = repeats.get(plain_id, -1) + 1
        row.quarantine_id = _numbered(plain_id, ordinal)


def normalise_wallet(text: str) -> str:
    """40 lower-case hex digits. Raises Reject."""
    return _hex_digits(text, 40) or _refuse("wallet: not 40 hexadecimal digits")


def normalise_tx(text: str) -> str:
    """64 lower-case hex digits. Raises Reject."""
    try:
        raw = _fromhex(text[2:])
    except ValueError:
        raw = b""
    if len(raw) == 32 and len(text) == 66 and text.startswith("0x"):
        return raw.hex()
    return _hex_digits(text, 64) or _refuse("transaction hash: not 64 hexadecimal digits")


def normalise_condition(text: str) -> str:
    """64 lower-case hex digits. Raises Reject.

    31-byte structural ids (01…, 02…; 03… names a combo) are padded with 00, as the official SDK
    0.14.0 does in models/types.py.
    """
    digits = _hex_digits(text, _CONDITION_DIGITS)
    if digits:
        return digits
    digits = _hex_digits(text, _STRUCTURAL_DIGITS)
    if digits.startswith(_STRUCTURAL_PREFIXES):
        return digits + "00"
    return _refuse("condition id: not 64 hexadecimal digits")


def normalise_token(text: str) -> str:
    """Decimal digits of a 256-bit number, at most 78. Raises Reject."""
    digits = text.lstrip("0")
    if digits and len(digits) <= 78 and digits.isascii() and digits.isdigit():
        return digits
    return _refuse("token id: not a decimal number of at most 78 digits")


def parse_wallet(text: str) -> str:
    """A wallet as a person types it. Raises Stop naming the input and the remedy."""
    expected = "a wallet address; expected 40 hexadecimal digits, with or without 0x before them"
    return _typed(text, normalise_wallet, expected)


def parse_condition(text: str) -> str:
    """A condition id as a person types it. Raises Stop naming the input and the remedy."""
    expected = (
        "a condition id; expected 64 hexadecimal digits "
        "(or 62 starting with 01 or 02), with or without 0x before them"
    )
    return _typed(text, normalise_condition, expected)


def show(digits: str) -> str:
    """A stored wallet, condition id or hash as people know it: with 0x."""
    return f"0x{digits}"


def padded(condition: str) -> str:
    """A condition id as every request must name it: 64 hex digits.

    The feed of trades answers one of 62 with an empty page and 200, which would look like a market
    without trades (seen 2026-10-05). Raises GiveUp for what cannot be padded, so that no such
    question is asked.
    """
    try:
        return normalise_condition(condition)
    except errors.Reject as problem:
        raise errors.GiveUp(f"{_shown(condition)} is no condition id: {problem}") from problem


def show_conditions(conditions: Iterable[str]) -> str:
    """Condition ids as one comma-separated API parameter. Raises GiveUp."""
    return ",".join(show(padded(condition)) for condition in conditions)


def _numbered(plain_id: str, ordinal: int) -> str:
    return _digest(f"{plain_id}|{ordinal}".encode()) if ordinal else plain_id


def _digest(content: bytes) -> str:
    named = _new_hash()
    named.update(content)
    return named.hexdigest()


def _hex_digits(text: str, digits: int) -> str:
    """`text` without 0x in lower case, "" when it is not exactly `digits` hex digits."""
    start = 2 if text[:2] in {"0x", "0X"} else 0
    if len(text) - start != digits:
        return ""
    try:
        raw = bytes.fromhex(text[start:])
    except ValueError:
        return ""
    # fromhex skips blanks, which shows in the length only.
    return raw.hex() if 2 * len(raw) == digits else ""


def _refuse(reason: str) -> str:
    raise errors.Reject(reason)


def _typed(text: str, normalise: Callable[[str], str], expected: str) -> str:
    try:
        return normalise(text.strip())
    except errors.Reject as problem:
        raise errors.Stop(f"{_shown(text)} is not {expected}") from problem


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "…")
