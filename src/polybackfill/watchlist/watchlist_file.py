"""Markets that are watched: one entry per strategy and market, and a log of every change.

The list is one JSON file, replaced whole under a lock: it works without the store, people can read
it, and processes that add at once cannot add twice. A change is written to the log before the list,
so that nothing is ever on the list without a line that says why; a crash between the two leaves a
line too many, and the next run adds the entry again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from polybackfill import errors
from polybackfill.filesystem import files, host_lock

LIST_FILE = "watchlist.json"
LOG_FILE = "runtime/watchlist_events.log"
_LOCK_FILE = "runtime/watchlist.lock"
_VERSION = 1

Side = Literal["YES", "NO"]


class Entry(msgspec.Struct, kw_only=True, omit_defaults=False):
    """One market one strategy watches. Ids as people see them: conditions with 0x.

    `metadata`: what triggered it, and titles; see docs/analytics.md. `added_at`: UTC text.
    """

    strategy_id: str
    market_id: str | None
    condition_id: str | None
    side: Side | None
    reason: str
    added_at: str
    status: str = "watching"
    category: str | None = None
    tags: list[str] = []
    event_id: str | None = None
    metadata: dict[str, Any] = {}

    @property
    def keys(self) -> set[tuple[str, str]]:
        """What makes it the same entry: the strategy with the condition, or with the market id."""
        ids = (self.condition_id, self.market_id)
        return {(self.strategy_id, one) for one in ids if one}


class _Content(msgspec.Struct):
    version: int
    entries: list[Entry]


class Watchlist:
    """The list below a data folder. Every method may be called by several processes at once.

    Raises errors.Stop when the folder cannot be written or the file is not a watchlist.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LIST_FILE
        self.log = folder / LOG_FILE
        self._lock = folder / _LOCK_FILE

    def entries(self, strategy_id: str | None = None) -> list[Entry]:
        """All entries in the order they came, or those of one strategy."""
        return [one for one in self._load() if strategy_id in (None, one.strategy_id)]

    def add(self, wanted: Iterable[Entry]) -> list[Entry]:
        """Add those that are not there yet, and log them; returns what was added."""
        with host_lock.hold(self._lock, "change of the watchlist"):
            entries = self._load()
            taken = {key for entry in entries for key in entry.keys}
            added = []
            for entry in wanted:
                if not entry.keys:
                    raise ValueError("an entry needs a market id or a condition id")
                if not entry.keys & taken:
                    taken |= entry.keys
                    added.append(entry)
            if added:
                self._change("added", added, [*entries, *added])
        return added

    def remove(self, chosen: Callable[[Entry], bool], *, at: str) -> list[Entry]:
        """Take out the entries that are chosen, and log it; returns them. `at`: UTC text."""
        with host_lock.hold(self._lock, "change of the watchlist"):
            entries = self._load()
            removed = [entry for entry in entries if chosen(entry)]
            if removed:
                left = [entry for entry in entries if entry not in removed]
                self._change("removed", removed, left, at=at)
        return removed

    def _load(self) -> list[Entry]:
        try:
            content = msgspec.json.decode(self.path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise errors.Stop(
                f"watchlist {self.path} cannot be read ({error}): correct it or move it away"
            ) from error
        if content.version != _VERSION:
            raise errors.Stop(
                f"watchlist {self.path} is of version {content.version}, this program writes "
                f"{_VERSION}: use the program that wrote it, or move the file away"
            )
        return content.entries

    def _change(
        self, action: str, changed: Sequence[Entry], left: list[Entry], *, at: str | None = None
    ) -> None:
        lines = b"".join(
            msgspec.json.encode(audit_line(action, entry, at or entry.added_at)) + b"\n"
            for entry in changed
        )
        with files.stopping("write", self.log):
            files.append_lines(self.log, lines)
        content = msgspec.json.format(msgspec.json.encode(_Content(_VERSION, left)), indent=2)
        with files.stopping("write", self.path):
            files.write_atomic(self.path, content + b"\n")


def statistics(entries: Sequence[Entry]) -> dict[str, Any]:
    """Counts of a list, by who added and which wallet triggered; names as in seed 004."""
    auto = [entry for entry in entries if entry.metadata.get("auto_added")]
    wallets = Counter(
        wallet for entry in auto if (wallet := entry.metadata.get("triggered_by_wallet"))
    )
    return {
        "total": len(entries),
        "autoAdded": len(auto),
        "manualAdded": len(entries) - len(auto),
        "triggeredByWallets": dict(wallets.most_common()),
    }


def audit_line(action: str, entry: Entry, at: str) -> dict[str, Any]:
    """One line of the log; each name of seed 004 is there, also where two mean the same."""
    metadata = entry.metadata
    coverage, rank = metadata.get("wallet_coverage_pct"), metadata.get("wallet_rank")
    return {
        "timestamp": at,
        "action": action,
        "wallet": metadata.get("triggered_by_wallet"),
        "market_id": entry.market_id,
        "condition_id": entry.condition_id,
        "strategy_id": entry.strategy_id,
        "strategy_name": metadata.get("strategy_name"),
        "side": entry.side,
        "reason": entry.reason,
        "category": entry.category,
        "canonical_category": entry.category,
        "tags": entry.tags,
        "raw_tags": entry.tags,
        "event_id": entry.event_id,
        "triggering_wallet_coverage_pct": coverage,
        "triggering_wallet_rank": rank,
        "coverage_pct": coverage,
        "pnl_rank": rank,
    }
