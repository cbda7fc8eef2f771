"""The query string of Gamma: tolerant, where Data API v2 refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

from polymarket_sandbox import responses

MAX_LIMIT = 100  # silently clamped since 2026-05-14
DEFAULT_LIMIT = 20


class GammaQuery:
    """A Gamma query string: repeated keys are lists, bracket forms and unknown names ignored."""

    def __init__(self, raw: str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parse_qsl(raw):
            self._values.setdefault(name, []).append(value)

    def many(self, name: str) -> list[str]:
        """All values of a key."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """The last value of a key."""
        values = self._values.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool | None:
        """true or false, None when absent. Raises ApiError (422) for anything else."""
        value = self.one(name)
        if value is None:
            return None
        if value.lower() not in {"true", "false"}:
            raise responses.gamma_refused(f"{name} must be a boolean")
        return value.lower() == "true"

    def count(self, name: str, default: int) -> int:
        """A number that is not negative. Raises ApiError (422)."""
        value = self.one(name)
        if value is None:
            return default
        if not value.isdecimal():
            raise responses.gamma_refused(f"{name} must be a non-negative integer")
        return int(value)

    def amount(self, name: str) -> float | None:
        """A number. Raises ApiError (422)."""
        value = self.one(name)
        try:
            return None if value is None else float(value)
        except ValueError as wrong:
            raise responses.gamma_refused(f"{name} must be a number") from wrong

    def moment(self, name: str) -> float | None:
        """Epoch seconds of a date or timestamp. Raises ApiError (422)."""
        value = self.one(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value.replace(" ", "+").replace("Z", "+00:00"))
        except ValueError as wrong:
            raise responses.gamma_refused(f"{name} must be a date") from wrong
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def limit(self) -> int:
        """Rows a page, clamped without a word."""
        return min(max(self.count("limit", DEFAULT_LIMIT), 1), MAX_LIMIT)

    def fingerprint(self) -> str:
        """The question without its page, to keep its result."""
        paging = {"limit", "offset", "after_cursor", "cursor", "include_tag"}
        held = sorted((name, values) for name, values in self._values.items() if name not in paging)
        return repr(held)
