"""Bytes of a v2 feed page become typed rows; a row that makes no sense is set aside, not dropped.

The usual page is decoded in one typed pass over the fields that are needed. Only a page with
something odd in it is taken apart row by row, so that one bad row costs nothing but itself.
Field meanings: docs.polymarket.com/api-reference/feeds, read 2026-11.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import coerce, parsing, tokens, v2_envelope

# The 19 fields of a feed row and the 3 that activity rows add.
KNOWN_FIELDS = frozenset(
    (
        "proxy_wallet",
        "side",
        "token_id",
        "condition_id",
        "size",
        "price",
        "timestamp",
        "title",
        "slug",
        "icon",
        "event_slug",
        "outcome",
        "outcome_index",
        "name",
        "pseudonym",
        "bio",
        "profile_image",
        "profile_image_optimized",
        "transaction_hash",
        "type",
        "usdc_size",
        "is_combo",
    )
)
_TEXTS = ("title", "outcome", "type", "side")
_TRADE = "TRADE"
_SIDES = frozenset(("BUY", "SELL"))
# A row in forms that nobody documented is read field by field.
_READERS: Mapping[str, coerce.Reader] = {
    "proxy_wallet": coerce.name,
    "condition_id": coerce.name,
    "size": coerce.amount,
    "timestamp": coerce.moment,
    "transaction_hash": coerce.name,
    "token_id": coerce.name,
    "side": coerce.word,
    "price": coerce.price,
    "title": coerce.text,
    "outcome": coerce.text,
    "outcome_index": partial(coerce.or_none, coerce.integer),
    "type": coerce.word,
    "usdc_size": partial(coerce.or_none, coerce.amount),
    "is_combo": coerce.flag,
}
_NEEDED = ("size", "price", "timestamp")
# 999 is the API's "unknown"; a condition has at most 256 outcome slots on chain.
_OUTCOME_SLOTS = 256
# No block of a chain is older; a smaller number is a date written as digits, or no time at all.
_EARLIEST = 1_230_768_000  # 2009-01-01
# The feed rounds USD to the unit of the token and prices to ten decimals (recorded rows, 2026).
_USDC_UNIT = 1e-6
_PRICE_UNIT = 1e-10
_CACHED_SPELLINGS = 20_000
_FIRST_ROW_BYTES = 16_384


@dataclass(kw_only=True)
class TradePage(parsing.ParsedPage):
    """The rows of one page that can be used, every one with its second."""

    trades: list[records.Trade] = field(default_factory=list)
    activities: list[records.Activity] = field(default_factory=list)


class _Row(msgspec.Struct, gc=False):
    proxy_wallet: str
    condition_id: str
    size: float
    timestamp: int
    transaction_hash: str
    token_id: str
    side: str
    price: float
    title: str | None = None
    outcome: str | None = None
    outcome_index: int | None = None
    type: str = ""
    usdc_size: float | None = None
    is_combo: bool | None = None


class _FeedPage(msgspec.Struct):
    data: list[_Row]
    pagination: v2_envelope.Pagination


_feed_page = msgspec.json.Decoder(_FeedPage)
_row = msgspec.json.Decoder(_Row)
_first_object = json.JSONDecoder().raw_decode


def page(body: bytes, source: parsing.ResponseSource) -> TradePage:
    """The rows of one page, each usable or rejected. Raises Retry when it is no feed page."""
    try:
        return _page(body, source)
    except parsing.NOT_DECODABLE as problem:
        sound = parsing.repair_text(body)
        if sound == body:
            raise errors.Retry(f"{source.route}: not a feed page: {problem}") from problem
    try:
        return _page(sound, source)
    except parsing.NOT_DECODABLE as problem:
        raise errors.Retry(f"{source.route}: not a feed page: {problem}") from problem


def one_row(raw: str, source: parsing.ResponseSource) -> records.Trade | records.Activity:
    """A single row again, from its JSON in quarantine. Raises Reject with the reason."""
    content = msgspec.Raw(raw.encode())
    return _usable(_read(content), 0, _RawRows([content]), source)


class _RawRows:
    """The rows' own JSON, taken from the page only where some of it is kept."""

    def __init__(self, page: bytes | Sequence[msgspec.Raw]) -> None:
        self._page = page

    def text(self, position: int) -> str:
        if isinstance(self._page, bytes):
            _, self._page = v2_envelope.raw_page(self._page)
        return bytes(self._page[position]).decode("utf-8", "replace")


def _page(body: bytes, source: parsing.ResponseSource) -> TradePage:
    try:
        typed = _feed_page.decode(body)
    except msgspec.ValidationError:
        pagination, rows = v2_envelope.raw_page(body)
        parsed = _empty(body, pagination, len(rows), source)
        _parse_one_by_one(parsed, rows, source)
    else:
        parsed = _empty(body, typed.pagination, len(typed.data), source)
        _parse_all(parsed, typed.data, body, source)
    records.number_rejected(parsed.rejected)
    return parsed


def _empty(
    body: bytes,
    pagination: v2_envelope.Pagination,
    rows: int,
    source: parsing.ResponseSource,
) -> TradePage:
    cursor = pagination.read_cursor(source.route)
    unknown_fields = _unknown_fields(body) if rows else {}
    return TradePage(fetched_rows=rows, next_cursor=cursor, unknown_fields=unknown_fields)


def _parse_all(
    parsed: TradePage, rows: Sequence[_Row], body: bytes, source: parsing.ResponseSource
) -> None:
    # The single byte is found at memory speed; few pages hold one.
    if b"\\" in body and b"\\u0000" in body:
        for row in rows:
            _strip_nul(row)
    raw_rows = _RawRows(body)
    for position, row in enumerate(rows):
        _parse_row(parsed, row, position, raw_rows, source)


def _parse_one_by_one(
    parsed: TradePage, rows: Sequence[msgspec.Raw], source: parsing.ResponseSource
) -> None:
    raw_rows = _RawRows(rows)
    for position, raw in enumerate(rows):
        try:
            row = _read(raw)
        except errors.Reject as problem:
            parsed.rejected.append(source.reject(str(problem), raw_rows.text(position)))
            continue
        _parse_row(parsed, row, position, raw_rows, source)


def _read(raw: msgspec.Raw) -> _Row:
    """A row in the documented form, else field by field. Raises Reject naming the field."""
    try:
        row = _row.decode(raw)
    except parsing.NOT_DECODABLE:
        values = coerce.row(bytes(raw), _READERS)
        for needed in _NEEDED:
            if values[needed] is None:
                raise errors.Reject(f"{needed}: missing") from None
        return msgspec.convert(values, _Row)
    _strip_nul(row)
    return row


def _parse_row(
    parsed: TradePage,
    row: _Row,
    position: int,
    raw_rows: _RawRows,
    source: parsing.ResponseSource,
) -> None:
    try:
        usable = _usable(row, position, raw_rows, source)
    except errors.Reject as problem:
        parsed.rejected.append(source.reject(str(problem), raw_rows.text(position)))
        return
    if isinstance(usable, records.Trade):
        parsed.trades.append(usable)
    else:
        parsed.activities.append(usable)
    parsed.seconds.append(row.timestamp)


def _usable(
    row: _Row, position: int, raw_rows: _RawRows, source: parsing.ResponseSource
) -> records.Trade | records.Activity:
    kind = row.type or (_TRADE if source.route.endswith("/trades") else "")
    if not kind.isupper():
        kind = coerce.word(kind)
        if not kind:
            raise errors.Reject("type: missing")
    if not _EARLIEST <= row.timestamp <= records.MAX_SECOND:
        second = coerce.named("timestamp", coerce.moment, row.timestamp)
        if second is None:
            raise errors.Reject("timestamp: missing")
        row.timestamp = second
    if not 0.0 <= row.price < coerce.PRICE_LIMIT:
        raise errors.Reject("price: negative or beyond any price")
    if row.usdc_size is not None and not abs(row.usdc_size) < coerce.AMOUNT_LIMIT:
        row.usdc_size = None
    if kind == _TRADE and not row.is_combo:
        return _trade(row, source)
    return _activity(row, kind, raw_rows.text(position), source)


def _trade(row: _Row, source: parsing.ResponseSource) -> records.Trade:
    shares = row.size
    if not 0.0 < shares < coerce.AMOUNT_LIMIT:
        raise errors.Reject("size: not above 0, or beyond any amount")
    side = row.side if row.side in _SIDES else coerce.word(row.side)
    if side not in _SIDES:
        raise errors.Reject("side: neither BUY nor SELL")
    wallet = _WALLETS.get(row.proxy_wallet) or _known(
        _WALLETS, row.proxy_wallet, records.normalise_wallet
    )
    condition = _CONDITIONS.get(row.condition_id) or _known(
        _CONDITIONS, row.condition_id, records.normalise_condition
    )
    token = _TOKENS.get(row.token_id) or _known(_TOKENS, row.token_id, records.normalise_token)
    tx_hash = records.normalise_tx(row.transaction_hash)
    second = row.timestamp
    return records.Trade(
        records.SOURCE,
        records.trade_id(tx_hash, wallet, token, side, shares, second),
        wallet,
        condition,
        row.title or "",
        side,
        outcome_index(row.outcome_index, condition, token),
        row.outcome or "",
        token,
        "",
        shares,
        row.price,
        shares * row.price,
        row.usdc_size,
        _fee(side, shares * row.price, shares, row.usdc_size),
        second,
        tx_hash,
        source.route,
        source.fetched_at,
    )


def _fee(side: str, value: float, shares: float, usdc: float | None) -> float | None:
    """USD of fee: what a buyer paid beyond shares x price, or a seller got less; 0 for a maker.

    None when the feed does not tell the USD that changed hands, or tells an amount that no fee
    explains: none at all, or one on the wrong side of shares x price by more than rounding.
    """
    if usdc is None:
        return None
    fee = usdc - value if side == "BUY" else value - usdc
    rounding = _USDC_UNIT + shares * _PRICE_UNIT
    if fee < -rounding or (usdc <= 0.0 and value > rounding):
        return None
    return max(0.0, round(fee, 6)) if fee > rounding else 0.0


def _activity(row: _Row, kind: str, raw: str, source: parsing.ResponseSource) -> records.Activity:
    shares = row.size
    if not 0.0 <= shares < coerce.AMOUNT_LIMIT:
        raise errors.Reject("size: negative or beyond any amount")
    condition = records.normalise_condition(row.condition_id) if row.condition_id else ""
    token = records.normalise_token(row.token_id) if row.token_id else ""
    activity = records.Activity(
        records.SOURCE,
        "",
        records.normalise_wallet(row.proxy_wallet),
        condition,
        token,
        kind,
        coerce.word(row.side),
        outcome_index(row.outcome_index, condition, token),
        row.outcome or "",
        shares,
        row.price,
        row.usdc_size,
        row.timestamp,
        records.normalise_tx(row.transaction_hash) if row.transaction_hash else "",
        bool(row.is_combo),
        row.title or "",
        raw,
        source.fetched_at,
    )
    activity.activity_id = records.activity_id(activity)
    return activity


# A feed repeats few wallets, conditions and tokens many times: their spelling is checked once.
_WALLETS: dict[str, str] = {}
_CONDITIONS: dict[str, str] = {}
_TOKENS: dict[str, str] = {}


def _known(known: dict[str, str], text: str, normalise: Callable[[str], str]) -> str:
    digits = normalise(text)
    if len(known) >= _CACHED_SPELLINGS:
        known.clear()
    known[text] = digits
    return digits


def outcome_index(index: int | None, condition: str, token: str) -> int:
    """The index as delivered, else computed from the token; UNKNOWN_OUTCOME when it fits none."""
    if index is not None and 0 <= index < _OUTCOME_SLOTS:
        return index
    computed = tokens.outcome_index_of(condition, token) if condition and token else None
    return records.UNKNOWN_OUTCOME if computed is None else computed


def _strip_nul(row: _Row) -> None:
    """ClickHouse keeps NUL bytes, but the tools that read from it often do not."""
    for name in _TEXTS:
        text = getattr(row, name)
        if text and "\0" in text:
            setattr(row, name, text.replace("\0", ""))


def _unknown_fields(body: bytes) -> dict[str, int]:
    """Names of fields this program does not know, sampled from the page's first row."""
    start = body.find(b"{", body.find(b'"data"'))
    sample = body[start : start + _FIRST_ROW_BYTES].decode("utf-8", "replace")
    try:
        first, _ = _first_object(sample)
    except (ValueError, RecursionError):
        return {}
    return {name: 1 for name in first if name not in KNOWN_FIELDS}
