"""What a walk does about a cursor that is refused.

A cursor is shown once more, since servers have bad moments; then the walk begins anew, in pages a
tenth smaller. When that is refused too, another beginning is worth it only further on; or, where
the edge refuses (a 403 page) and not the API (400), in pages of a few more sizes: pages of another
size have other cursors, and some strings trip the edge for ever (seen on Gamma, 2026).
"""

from __future__ import annotations

from polybackfill import errors
from polybackfill.polymarket import endpoints, pagination

MAX_RESTARTS = 20
_OTHER_SIZES = 3  # new beginnings in a row that came no further, of a walk the edge refuses
_BAD_REQUEST = 400


class CursorRefusalPolicy:
    """What a walk does about its refused cursors, and the size of its pages since."""

    def __init__(self) -> None:
        self._doubted: str | None = None
        self._refused_at: int | None = None
        self._restarts = 0
        self._fruitless = 0

    @property
    def page_rows(self) -> int:
        """Rows of a page after the new beginnings so far."""
        return round(endpoints.PAGE_ROWS * 0.9**self._restarts)

    def recover(
        self, refusal: pagination.Refusal, cursor: str | None, position: int | None
    ) -> pagination.Recovery:
        """What to do after a refusal. `position`: how far the walk came, more is further."""
        if cursor is None or not _refuses_cursor(refusal):
            return pagination.Recovery.FAIL
        if self.is_first_refusal(cursor):
            return pagination.Recovery.SAME_PAGE
        if self._may_restart(refusal, position):
            return pagination.Recovery.NEW_BEGINNING
        return pagination.Recovery.FAIL

    def is_first_refusal(self, cursor: str) -> bool:
        """Whether the cursor has not just been refused before."""
        known, self._doubted = self._doubted == cursor, cursor
        return not known

    def _may_restart(self, refusal: pagination.Refusal, position: int | None) -> bool:
        further = position is not None and (self._refused_at is None or position > self._refused_at)
        self._fruitless = 0 if further or not self._restarts else self._fruitless + 1
        by_edge = isinstance(refusal, errors.Retry)
        if self._restarts == MAX_RESTARTS or self._fruitless > (_OTHER_SIZES if by_edge else 0):
            return False
        self._restarts += 1
        self._refused_at = position if further else self._refused_at
        return True


def _refuses_cursor(refusal: pagination.Refusal) -> bool:
    """Whether the cursor may be at fault for it, if one was sent."""
    return refusal.split if isinstance(refusal, errors.Retry) else refusal.status == _BAD_REQUEST
