"""What all answers of the Data API v2 share: the envelope, its cursor, and rows in any shape.

A row is decoded by itself, so that one bad row costs nothing but itself: it is set aside with the
reason, and the number of rows used and set aside is always the number of rows that came.
Envelope: docs.polymarket.com/api-reference (data-api v2), read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import parse

Shape = TypeVar("Shape")
Made = TypeVar("Made")

_NOT_DECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Paged(msgspec.Struct):
    data: list[msgspec.Raw]
    pagination: parse.Pagination


class _Unpaged(msgspec.Struct):
    data: msgspec.Raw


@dataclass(frozen=True)
class Taken(Generic[Made]):
    """Rows of an answer, each either used or set aside."""

    rows: list[Made]
    rejected: list[records.Rejected]


_paged = msgspec.json.Decoder(_Paged)
_unpaged = msgspec.json.Decoder(_Unpaged)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def page(body: bytes, source: parse.Source) -> tuple[list[msgspec.Raw], str | None]:
    """The rows of a page and the cursor of the next, None at the proven end.

    Raises Retry when it is no page; `data: null` is none, a list that is empty is `[]`.
    """
    answer = _decoded(body, _paged, source)
    return answer.data, parse.next_cursor(answer.pagination, source.route)


def content(body: bytes, decoder: msgspec.json.Decoder[Shape], source: parse.Source) -> Shape:
    """What an answer without pages holds. Raises Retry when it has another shape."""
    return _decoded(bytes(_decoded(body, _unpaged, source).data), decoder, source)


def take(
    raw_rows: Sequence[msgspec.Raw],
    decoder: msgspec.json.Decoder[Shape],
    usable: Callable[[Shape], Made],
    source: parse.Source,
) -> Taken[Made]:
    """Every row as `usable` makes it; a row it refuses (Reject), or in no shape, is set aside."""
    taken: Taken[Made] = Taken([], [])
    for raw in raw_rows:
        try:
            taken.rows.append(usable(_row(bytes(raw), decoder)))
        except errors.Reject as problem:
            rejected = records.reject(
                reason=str(problem),
                request=source.request,
                raw=bytes(raw).decode("utf-8", "replace"),
                unit=source.unit,
                rejected_at=source.fetched_at,
            )
            taken.rejected.append(rejected)
    records.number_rejected(taken.rejected)
    return taken


def unknown_fields(raw_rows: Sequence[msgspec.Raw], known: frozenset[str]) -> dict[str, int]:
    """Names of fields this program does not know, sampled from the first row."""
    try:
        first = _fields.decode(raw_rows[0]) if raw_rows else {}
    except _NOT_DECODABLE:
        return {}
    return {name: 1 for name in first if name not in known}


def plain(text: str | None) -> str:
    """Text as it is stored: "" for none, and without NUL, which many tools cannot read."""
    return (text or "").replace("\0", "")


def _decoded(body: bytes, decoder: msgspec.json.Decoder[Shape], source: parse.Source) -> Shape:
    try:
        return decoder.decode(body)
    except _NOT_DECODABLE:
        try:
            return decoder.decode(parse.mended(body))
        except _NOT_DECODABLE as problem:
            message = f"{source.route}: not an answer of this route: {problem}"
            raise errors.Retry(message) from problem


def _row(raw: bytes, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    try:
        return decoder.decode(raw)
    except _NOT_DECODABLE:
        try:
            return decoder.decode(parse.mended(raw))
        except _NOT_DECODABLE as problem:
            raise errors.Reject(str(problem)) from problem
