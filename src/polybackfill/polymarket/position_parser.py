"""Bytes of a page of /v2/positions become records; a row that makes no sense is set aside.

Field meanings: docs.polymarket.com/api-reference (data-api v2, positions), read 2026-11.
"""

from __future__ import annotations

from functools import partial

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import coerce, parsing, trade_parser, v2_envelope

KNOWN_FIELDS = frozenset(
    (
        "proxy_wallet",
        "token_id",
        "condition_id",
        "current_size",
        "avg_price",
        "entry_cost_usdc",
        "entry_fees_usdc",
        "total_cost_usdc",
        "current_price",
        "current_value",
        "total_size",
        "realized_pnl",
        "unrealized_pnl",
        "total_pnl",
        "percent_pnl",
        "percent_realized_pnl",
        "status",
        "redeemable",
        "mergeable",
        "negative_risk",
        "archived",
        "verified",
        "title",
        "slug",
        "icon",
        "event_id",
        "event_slug",
        "outcome",
        "outcome_index",
        "opposite_outcome",
        "opposite_token_id",
        "end_date",
        "last_event_at",
        "first_entry_at",
        "name",
        "profile_image",
    )
)


class _Row(msgspec.Struct, gc=False):
    proxy_wallet: str
    condition_id: str
    token_id: str
    current_size: float
    avg_price: float | None = None
    total_size: float | None = None
    current_price: float | None = None
    current_value: float | None = None
    realized_pnl: float | None = None
    unrealized_pnl: float | None = None
    entry_fees_usdc: float | None = None
    status: str | None = None
    slug: str | None = None
    outcome: str | None = None
    outcome_index: int | None = None
    last_event_at: int | None = None


_number = partial(coerce.or_none, coerce.amount)
_row = v2_envelope.RowReader(
    _Row,
    {
        "proxy_wallet": coerce.name,
        "condition_id": coerce.name,
        "token_id": coerce.name,
        "current_size": coerce.amount,
        "avg_price": partial(coerce.or_none, coerce.price),
        "total_size": _number,
        "current_price": partial(coerce.or_none, coerce.price),
        "current_value": _number,
        "realized_pnl": _number,
        "unrealized_pnl": _number,
        "entry_fees_usdc": _number,
        "status": coerce.word,
        "slug": coerce.text,
        "outcome": coerce.text,
        "outcome_index": partial(coerce.or_none, coerce.integer),
        "last_event_at": coerce.moment,
    },
    known=KNOWN_FIELDS,
    needed=("current_size",),
)


def page(
    body: bytes,
    source: parsing.ResponseSource,
    *,
    status: str,
    timestamp: int,
    version: int,
) -> v2_envelope.ParsedRows[records.Position]:
    """The rows of one page of the list `status`. Raises Retry when it is no page.

    `timestamp`, `version`: as in `records.Position`, for every row.
    """
    raw_rows, next_cursor = v2_envelope.page(body, source)

    def usable(row: _Row) -> records.Position:
        return _position(row, status, timestamp, version)

    parsed = v2_envelope.parse_rows(raw_rows, _row, usable, source)
    parsed.next_cursor = next_cursor
    parsed.seconds = [row.last_event_at for row in parsed.rows if row.last_event_at]
    return parsed


def _position(row: _Row, status: str, timestamp: int, version: int) -> records.Position:
    if not 0 <= row.current_size < coerce.AMOUNT_LIMIT:
        raise errors.Reject("current_size: negative or beyond any amount")
    last_event_at = coerce.named("last_event_at", coerce.moment, row.last_event_at) or 0
    condition = records.normalise_condition(row.condition_id)
    token = records.normalise_token(row.token_id)
    return records.Position(
        wallet_address=records.normalise_wallet(row.proxy_wallet),
        condition_id=condition,
        outcome=trade_parser.outcome_index(row.outcome_index, condition, token),
        asset_id=token,
        market=v2_envelope.clean_text(row.slug),
        status=coerce.word(row.status) or status,
        size=row.current_size,
        # 0 is the API's "none"; above 1 is real (1.0089 seen).
        entry_price=coerce.or_none(coerce.price, row.avg_price) or None,
        total_size=_number(row.total_size),
        current_price=coerce.or_none(coerce.price, row.current_price),
        current_value=_number(row.current_value),
        realized_pnl=_number(row.realized_pnl),
        unrealized_pnl=_number(row.unrealized_pnl),
        entry_fees=_number(row.entry_fees_usdc),
        outcome_label=v2_envelope.clean_text(row.outcome),
        last_event_at=last_event_at,
        timestamp=timestamp,
        version=version,
    )
