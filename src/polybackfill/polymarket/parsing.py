"""What all parsers share: where a response came from, what a page holds, bytes that are no text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from polybackfill import records

# What a decoder raises for bytes it cannot read.
NOT_DECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class ResponseSource(msgspec.Struct, frozen=True):
    """Where a page came from. `request`: its URL; `fetched_at`: epoch seconds; `version`: the tick
    (`Clock.tick`) of its arrival.
    """

    route: str
    request: str
    unit: str
    fetched_at: int
    version: int = 0

    def reject(self, reason: str, raw: str) -> records.Rejected:
        """A row of the page, as its JSON, that is set aside."""
        return records.reject(
            reason=reason,
            request=self.request,
            raw=raw,
            unit=self.unit,
            rejected_at=self.fetched_at,
        )


@dataclass(kw_only=True)
class ParsedPage:
    """What every parser tells of a page; each adds the rows that can be used.

    `rejected`: rows set aside. `fetched_rows`: all rows of the page. `seconds`: times of the usable
    rows that have one, in the order of the page. `next_cursor`: None when the list says that this
    is its end. `unknown_fields`: names of fields that this program does not know.
    """

    rejected: list[records.Rejected] = field(default_factory=list)
    fetched_rows: int = 0
    seconds: list[int] = field(default_factory=list)
    next_cursor: str | None = None
    unknown_fields: dict[str, int] = field(default_factory=dict)


def repair_text(body: bytes) -> bytes:
    """The body with text that no UTF-8 string can hold replaced by the replacement character."""
    text = body.decode("utf-8", "replace").encode()
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], text)
