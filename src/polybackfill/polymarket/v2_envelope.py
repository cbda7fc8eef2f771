"""What all answers of the Data API v2 share: the envelope, its cursor, and rows in any shape.

A row is decoded by itself, so that one bad row costs nothing but itself: it is set aside with the
reason, and the number of rows used and set aside is always the number of rows that came.
Envelope: docs.polymarket.com/api-reference (data-api v2), read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import coerce, parsing

Shape = TypeVar("Shape")
Parsed = TypeVar("Parsed")


class Pagination(msgspec.Struct):
    """The part of a page that says whether another one follows."""

    has_more: bool | str
    next_cursor: str | None

    def read_cursor(self, route: str) -> str | None:
        """The next page's cursor, None when the feed said that this is its end.

        Raises Retry when the two things it says about that do not fit each other.
        """
        cursor = self.next_cursor
        has_more: bool | str | None = self.has_more
        if isinstance(has_more, str):
            has_more = coerce.or_none(coerce.flag, has_more)
        if cursor == "" or has_more != (cursor is not None):
            raise errors.Retry(
                f"{route}: has_more is {self.has_more} but next_cursor is {cursor!r}"
            )
        return cursor


class _ListPage(msgspec.Struct):
    """A page whose rows are still JSON."""

    data: list[msgspec.Raw]
    pagination: Pagination


class _RawPage(msgspec.Struct):
    """The same, where it holds a list, one row alone, or nothing at all."""

    data: msgspec.Raw
    pagination: Pagination


class _Unpaged(msgspec.Struct):
    data: msgspec.Raw


@dataclass(kw_only=True)
class ParsedRows(parsing.ParsedPage, Generic[Parsed]):
    """The rows of an answer that can be used, all of one type."""

    rows: list[Parsed] = field(default_factory=list)


_list_page = msgspec.json.Decoder(_ListPage)
_raw_page = msgspec.json.Decoder(_RawPage)
_raw_rows = msgspec.json.Decoder(list[msgspec.Raw] | None)


class RowReader(Generic[Shape]):
    """How a row is read: in one typed pass where it has the documented form, else field by field.

    `known`: fields the API documents, read or not. `needed`: those a row cannot do without.
    """

    def __init__(
        self,
        shape: type[Shape],
        readers: Mapping[str, coerce.Reader],
        known: frozenset[str],
        needed: Sequence[str] = (),
    ) -> None:
        self.known = known
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)
        self._readers = readers
        self._needed = needed

    def read(self, raw: bytes) -> Shape:
        """Raises Reject naming the field."""
        try:
            return self._decoder.decode(raw)
        except parsing.NOT_DECODABLE:
            values = coerce.row(raw, self._readers)
        for name in self._needed:
            if values[name] is None:
                raise errors.Reject(f"{name}: missing")
        return msgspec.convert(values, self._shape)


_unpaged = msgspec.json.Decoder(_Unpaged)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def page(body: bytes, source: parsing.ResponseSource) -> tuple[list[msgspec.Raw], str | None]:
    """The rows of a page and the cursor of the next, None at the proven end.

    Raises Retry when it is no page. Of a wallet nobody knows it holds `[]` or null.
    """
    pagination, rows = _decoded(body, raw_page, source)
    return rows, pagination.read_cursor(source.route)


def raw_page(body: bytes) -> tuple[Pagination, list[msgspec.Raw]]:
    """A page taken apart into rows. Raises what `parsing.NOT_DECODABLE` lists."""
    try:
        listed = _list_page.decode(body)
    except msgspec.ValidationError:
        envelope = _raw_page.decode(body)
        return envelope.pagination, raw_rows(envelope.data)
    return listed.pagination, listed.data


def raw_rows(data: msgspec.Raw) -> list[msgspec.Raw]:
    """The rows of a list, none of null, and one row that stands alone. Raises what
    `parsing.NOT_DECODABLE` lists.
    """
    if memoryview(data)[:1].tobytes() == b"{" and _fields.decode(data):
        return [data]
    return _raw_rows.decode(data) or []


def unpaged(body: bytes, source: parsing.ResponseSource) -> list[msgspec.Raw]:
    """The rows of an answer without pages. Raises Retry when it has another shape."""
    return _decoded(body, lambda content: raw_rows(_unpaged.decode(content).data), source)


def parse_rows(
    raw_rows: Sequence[msgspec.Raw],
    shape: RowReader[Shape],
    usable: Callable[[Shape], Parsed],
    source: parsing.ResponseSource,
) -> ParsedRows[Parsed]:
    """Every row as `usable` makes it; a row it refuses (Reject), or in no shape, is set aside."""
    parsed: ParsedRows[Parsed] = ParsedRows(
        fetched_rows=len(raw_rows), unknown_fields=_unknown_fields(raw_rows, shape.known)
    )
    for raw in raw_rows:
        try:
            parsed.rows.append(usable(shape.read(bytes(raw))))
        except errors.Reject as problem:
            text = bytes(raw).decode("utf-8", "replace")
            parsed.rejected.append(source.reject(str(problem), text))
    records.number_rejected(parsed.rejected)
    return parsed


def _unknown_fields(raw_rows: Sequence[msgspec.Raw], known: frozenset[str]) -> dict[str, int]:
    """Names of fields this program does not know, sampled from the first row."""
    try:
        first = _fields.decode(raw_rows[0]) if raw_rows else {}
    except parsing.NOT_DECODABLE:
        return {}
    return {name: 1 for name in first if name not in known}


def clean_text(text: str | None) -> str:
    """Text as it is stored: "" for none, and without NUL, which many tools cannot read."""
    return (text or "").replace("\0", "")


def _decoded(
    body: bytes, decode: Callable[[bytes], Parsed], source: parsing.ResponseSource
) -> Parsed:
    try:
        return decode(body)
    except parsing.NOT_DECODABLE:
        try:
            return decode(parsing.repair_text(body))
        except parsing.NOT_DECODABLE as problem:
            message = f"{source.route}: not an answer of this route: {problem}"
            raise errors.Retry(message, unreadable=True) from problem
