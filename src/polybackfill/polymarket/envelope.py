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
from polybackfill.polymarket import answers

Shape = TypeVar("Shape")
Made = TypeVar("Made")


class Pagination(msgspec.Struct):
    """The part of a page that says whether another one follows."""

    has_more: bool
    next_cursor: str | None


class RawPage(msgspec.Struct):
    """A page whose rows are still JSON."""

    data: list[msgspec.Raw]
    pagination: Pagination


class _Unpaged(msgspec.Struct):
    data: msgspec.Raw


@dataclass(frozen=True)
class Taken(Generic[Made]):
    """Rows of an answer, each either used or set aside."""

    rows: list[Made]
    rejected: list[records.Rejected]


_raw_page = msgspec.json.Decoder(RawPage)
_unpaged = msgspec.json.Decoder(_Unpaged)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def page(body: bytes, source: answers.Source) -> tuple[list[msgspec.Raw], str | None]:
    """The rows of a page and the cursor of the next, None at the proven end.

    Raises Retry when it is no page; `data: null` is none, a list that is empty is `[]`.
    """
    answer = _decoded(body, _raw_page, source)
    return answer.data, next_cursor(answer.pagination, source.route)


def raw_page(body: bytes) -> RawPage:
    """A page taken apart into rows. Raises what `answers.NOT_DECODABLE` lists."""
    return _raw_page.decode(body)


def next_cursor(pagination: Pagination, route: str) -> str | None:
    """The next page's cursor, None when the feed said that this is its end.

    Raises Retry when the two things it says about that do not fit each other.
    """
    cursor = pagination.next_cursor
    if cursor == "" or pagination.has_more != (cursor is not None):
        raise errors.Retry(
            f"{route}: has_more is {pagination.has_more} but next_cursor is {cursor!r}"
        )
    return cursor


def content(body: bytes, decoder: msgspec.json.Decoder[Shape], source: answers.Source) -> Shape:
    """What an answer without pages holds. Raises Retry when it has another shape."""
    return _decoded(bytes(_decoded(body, _unpaged, source).data), decoder, source)


def take(
    raw_rows: Sequence[msgspec.Raw],
    decoder: msgspec.json.Decoder[Shape],
    usable: Callable[[Shape], Made],
    source: answers.Source,
) -> Taken[Made]:
    """Every row as `usable` makes it; a row it refuses (Reject), or in no shape, is set aside."""
    taken: Taken[Made] = Taken([], [])
    for raw in raw_rows:
        try:
            taken.rows.append(usable(_row(bytes(raw), decoder)))
        except errors.Reject as problem:
            text = bytes(raw).decode("utf-8", "replace")
            taken.rejected.append(source.reject(str(problem), text))
    records.number_rejected(taken.rejected)
    return taken


def unknown_fields(raw_rows: Sequence[msgspec.Raw], known: frozenset[str]) -> dict[str, int]:
    """Names of fields this program does not know, sampled from the first row."""
    try:
        first = _fields.decode(raw_rows[0]) if raw_rows else {}
    except answers.NOT_DECODABLE:
        return {}
    return {name: 1 for name in first if name not in known}


def plain(text: str | None) -> str:
    """Text as it is stored: "" for none, and without NUL, which many tools cannot read."""
    return (text or "").replace("\0", "")


def _decoded(body: bytes, decoder: msgspec.json.Decoder[Shape], source: answers.Source) -> Shape:
    try:
        return decoder.decode(body)
    except answers.NOT_DECODABLE:
        try:
            return decoder.decode(answers.mended(body))
        except answers.NOT_DECODABLE as problem:
            message = f"{source.route}: not an answer of this route: {problem}"
            raise errors.Retry(message, unreadable=True) from problem


def _row(raw: bytes, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    try:
        return decoder.decode(raw)
    except answers.NOT_DECODABLE:
        try:
            return decoder.decode(answers.mended(raw))
        except answers.NOT_DECODABLE as problem:
            raise errors.Reject(str(problem)) from problem
