"""The query string of Data API v2, with its refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from polymarket_sandbox import responses

_T = TypeVar("_T")
_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
_CONDITION = re.compile(r"0x(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{62})")
MAX_LIMIT = 1_000
DEFAULT_LIMIT = 100
MAX_IDS = 20
MAX_EVENT_ID = 2**31 - 1
_TRUE, _FALSE = {"true", "1"}, {"false", "0"}


class V2Query:
    """One query string; names in snake_case, `condition` under its one name. Raises ApiError."""

    def __init__(self, raw: str) -> None:
        self._values: dict[str, str] = {}
        for name, value in parse_qsl(raw, keep_blank_values=True):
            key = _canonical(name)
            if key in self._values:
                raise responses.refused(
                    f"Failed to deserialize query string: duplicate field `{key}`", parameter=key
                )
            self._values[key] = value
        if "offset" in self._values:
            raise responses.refused(
                "'offset' is not a query param on this API: pages are cursor-only, pass 'cursor' "
                "from a prior response's next_cursor",
                parameter="offset",
            )
        if "market" in self._values:
            raise responses.refused(
                "'market' is not a query param on this API: use 'condition'", parameter="market"
            )

    def text(self, name: str) -> str | None:
        """The value, None when absent or empty."""
        return self._values.get(name) or None

    def wallet(self) -> str | None:
        """`user` in lower case."""
        value = self.text("user")
        if value is None:
            return None
        if not _WALLET.fullmatch(value):
            raise responses.refused(f"user: '{value}' is not a valid address", parameter="user")
        return value.lower()

    def conditions(self) -> tuple[str, ...]:
        """Distinct condition ids in lower case. A structural id of 62 digits stays as it is: every
        feed answers it as one that nobody knows (live, October 2026)."""
        found: dict[str, None] = {}
        for value in self._list("condition"):
            if not _CONDITION.fullmatch(value):
                raise responses.refused(
                    f"condition: '{value}' is not a valid condition id", parameter="condition"
                )
            found.setdefault(value.lower())
        return self._capped("condition", tuple(found))

    def events(self) -> tuple[int, ...]:
        """Distinct positive event ids."""
        found: dict[int, None] = {}
        for value in self._list("event_id"):
            if not value.isdecimal() or not 0 < int(value) <= MAX_EVENT_ID:
                raise responses.refused(
                    f"event_id: '{value}' is not a positive 32-bit integer", parameter="event_id"
                )
            found.setdefault(int(value))
        return self._capped("event_id", tuple(found))

    def readable_events(self) -> tuple[int, ...]:
        """Distinct positive event ids, those that are none left out unless all are."""
        values = self._list("event_id")
        readable = [v for v in values if v.isdecimal() and 0 < int(v) <= MAX_EVENT_ID]
        if values and not readable:
            raise responses.refused(
                f"event_id: '{values[0]}' is not a positive 32-bit integer", parameter="event_id"
            )
        return self._capped("event_id", tuple(dict.fromkeys(map(int, readable))))

    def selectors(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Conditions and events, of which only one may be given."""
        conditions, events = self.conditions(), self.events()
        if conditions and events:
            raise responses.refused(
                "condition and event_id are mutually exclusive", parameter="event_id"
            )
        return conditions, events

    def limit(self) -> int:
        """Rows a page, 1..1000."""
        value = self.text("limit")
        if value is None:
            return DEFAULT_LIMIT
        if not value.isdecimal() or not 0 < int(value) <= MAX_LIMIT:
            raise responses.refused(
                "Failed to deserialize query string: limit: limit must be between 0 and 1000",
                parameter="limit",
            )
        return int(value)

    def choice(self, name: str, allowed: tuple[str, ...], default: str | None) -> str | None:
        """One of `allowed`."""
        value = self.text(name)
        if value is None:
            return default
        if value not in allowed:
            raise responses.refused(
                f"Failed to deserialize query string: {name}: unknown variant `{value}`, "
                f"expected one of {', '.join(allowed)}",
                parameter=name,
            )
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false."""
        value = self.text(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered not in _TRUE | _FALSE:
            raise responses.refused(
                f"Failed to deserialize query string: {name}: expected true or false",
                parameter=name,
            )
        return lowered in _TRUE

    def seconds(self, name: str) -> int:
        """Epoch seconds, 0 when absent."""
        value = self.text(name)
        if value is None:
            return 0
        if not value.isdecimal():
            raise responses.refused(
                f"Failed to deserialize query string: {name}: expected epoch seconds",
                parameter=name,
            )
        return int(value)

    def amount(self, name: str, default: float) -> float:
        """A number that is not negative."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise responses.refused(
                f"Failed to deserialize query string: {name}: expected a number >= 0",
                parameter=name,
            )
        return number

    def replaced(self, changes: Mapping[str, str]) -> V2Query:
        """The same question with other values."""
        other = V2Query("")
        other._values = {**self._values, **changes}
        return other

    def _list(self, name: str) -> list[str]:
        value = self.text(name)
        return [part.strip() for part in value.split(",")] if value else []

    @staticmethod
    def _capped(name: str, values: tuple[_T, ...]) -> tuple[_T, ...]:
        if len(values) > MAX_IDS:
            raise responses.refused(
                f"{name}: at most {MAX_IDS} distinct values are allowed, got {len(values)}",
                parameter=name,
            )
        return values


def normal_condition(value: str) -> str:
    """Lower case; the 31-byte structural form is padded to 32 bytes."""
    lowered = value.lower()
    if len(lowered) == 64 and lowered.startswith(("0x01", "0x02", "0x03")):
        return lowered + "00"
    return lowered


def _canonical(name: str) -> str:
    snake = re.sub(r"(?<=[a-z])[A-Z]", lambda found: "_" + found.group().lower(), name)
    return "condition" if snake == "condition_id" else snake
