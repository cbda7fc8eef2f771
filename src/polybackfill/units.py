"""A unit of work: some keys, one window of time, one walk to its proven end.

`Counts` and `FeedEnd` are written into the checkpoint: a changed field is a new schema version
(`checkpoint.journal.VERSION`). Seconds are epoch seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec

from polybackfill.polymarket import list_partitions

# The longest list of condition ids one request of the Data API accepts
# (measured on the live API in 2026; one more is answered with 400).
MAX_KEYS_PER_BATCH = 20
# A page holds 1,000 rows. From five pages on a market gains nothing by sharing a walk, and a
# failure inside a shared walk would cost its neighbours.
BIG_MARKET_ROWS = 5_000
BATCH_ROWS = 10_000

CONDITIONS = "conditions"
WALLETS = "wallets"

_SWEEP_MARK = "@"

Window = tuple[int | None, int | None]
FULL_HISTORY: Window = (None, None)

Resume = dict[str, object]
"""Where a walk goes on, as the walk wrote it; nobody else looks inside."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows stored, pages read, rows in quarantine, and the first and last second seen."""

    rows: int = 0
    pages: int = 0
    rejected: int = 0
    first_second: int | None = None
    last_second: int | None = None

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        firsts = [at for at in (self.first_second, more.first_second) if at is not None]
        lasts = [at for at in (self.last_second, more.last_second) if at is not None]
        return Counts(
            rows=self.rows + more.rows,
            pages=self.pages + more.pages,
            rejected=self.rejected + more.rejected,
            first_second=min(firsts, default=None),
            last_second=max(lasts, default=None),
        )


NOTHING = Counts()


class FeedEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a feed as it was seen: in which second, and how many seconds the source said then
    that it lies behind the chain, None where it does not say. `confirmed`: the second is the
    source's own; else this machine's, which may be wrong by years.
    """

    second: int
    lag_s: float | None = None
    confirmed: bool = False


@dataclass(frozen=True)
class Unit:
    """Keys of one kind with one window, in the shape the checkpoint and the queue know.

    `keys`: wallets (40 hex), condition ids (64 hex, a few 62) or other stable names, unique. Of a
    list that is read again and again they are marked with the sweep, one for all (`mark_key`), so
    that a unit that is done in this sweep is not done in the next.
    `since`, `until`: epoch seconds, both inclusive, None = open. `expected_rows` is a hint for
    packing and progress, None when nobody knows; it is no part of the identity. Raises ValueError
    on a unit without keys, with a repeated key, or with `since` after `until`.
    """

    kind: str
    keys: tuple[str, ...]
    since: int | None = None
    until: int | None = None
    expected_rows: int | None = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.kind or not self.keys or not all(self.keys):
            raise ValueError("a unit needs a kind and at least one key")
        if len(set(self.keys)) != len(self.keys):
            raise ValueError(f"a {self.kind} unit repeats a key")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError(f"a {self.kind} unit begins at {self.since}, after {self.until}")

    @cached_property
    def id(self) -> str:
        """Stable across runs: `wallets:<key>`, `conditions:20x<hash>`, with `:since-until`."""
        name = self.keys[0] if len(self.keys) == 1 else _digest(self.keys)
        if self.window == FULL_HISTORY:
            return f"{self.kind}:{name}"
        return f"{self.kind}:{name}:{_bound(self.since)}-{_bound(self.until)}"

    @cached_property
    def sweep(self) -> str:
        """The sweep it belongs to, "" for none."""
        return key_sweep(self.keys[0])

    @cached_property
    def bare_keys(self) -> tuple[str, ...]:
        """The keys without their sweep, as the API knows them."""
        return tuple(map(bare_key, self.keys)) if self.sweep else self.keys

    @property
    def window(self) -> Window:
        """(since, until) as given."""
        return (self.since, self.until)


def mark_key(bare: str, sweep: str) -> str:
    """A key as a unit of this sweep has it, and as the checkpoint knows it."""
    return f"{bare}{_SWEEP_MARK}{sweep}" if sweep else bare


def bare_key(key: str) -> str:
    """A key without its sweep."""
    return key.partition(_SWEEP_MARK)[0]


def key_sweep(key: str) -> str:
    """The sweep that a key is marked with, "" for none."""
    return key.partition(_SWEEP_MARK)[2]


def can_split(unit: Unit) -> bool:
    """Has it several keys, or one that names a span of dates long enough to be cut?"""
    return len(unit.keys) > 1 or list_partitions.can_split(unit.bare_keys[0])


def split(unit: Unit) -> tuple[Unit, Unit]:
    """Two halves with the same window: of the keys, or of the span that the only key names.

    Raises ValueError for a unit that cannot be split.
    """
    if not can_split(unit):
        raise ValueError(f"{unit.id} has one key and cannot be split")
    middle = len(unit.keys) // 2
    expected_rows = None if unit.expected_rows is None else unit.expected_rows // 2
    parts = (unit.keys[:middle], unit.keys[middle:])
    if middle == 0:
        earlier, later = list_partitions.split(unit.bare_keys[0])
        parts = ((mark_key(earlier, unit.sweep),), (mark_key(later, unit.sweep),))
    first, second = (Unit(unit.kind, keys, unit.since, unit.until, expected_rows) for keys in parts)
    return first, second


def parts(unit: Unit, is_known: Callable[[str], bool]) -> Iterator[Unit]:
    """The units that stand for one now: itself, or the spans into which it was cut before.

    `is_known`: whether the checkpoint holds a key, as in `list_partitions.parts`.
    """
    if len(unit.keys) > 1 or not list_partitions.can_split(unit.bare_keys[0]):
        yield unit
        return

    def is_bare_known(bare: str) -> bool:
        return is_known(mark_key(bare, unit.sweep))

    for bare in list_partitions.parts(unit.bare_keys[0], is_bare_known):
        yield replace(unit, keys=(mark_key(bare, unit.sweep),))


def pack(
    expected: Iterable[tuple[str, int | None]],
    *,
    kind: str = CONDITIONS,
    window: Window = FULL_HISTORY,
    max_keys: int = MAX_KEYS_PER_BATCH,
    max_rows: int = BATCH_ROWS,
    big_rows: int = BIG_MARKET_ROWS,
) -> Iterator[Unit]:
    """Condition ids with their expected rows (None: unknown), in order → batches; big ones alone.

    Lazy, and holds one batch at a time. A key that repeats inside a batch is taken once.
    """
    batch: dict[str, int | None] = {}
    for key, rows in expected:
        if rows is not None and rows >= big_rows:
            yield _batch_unit(kind, {key: rows}, window)
            continue
        taken = sum(each or 0 for each in batch.values())
        if batch and (len(batch) >= max_keys or taken + (rows or 0) > max_rows):
            yield _batch_unit(kind, batch, window)
            batch = {}
        batch[key] = rows
    if batch:
        yield _batch_unit(kind, batch, window)


def _batch_unit(kind: str, batch: dict[str, int | None], window: Window) -> Unit:
    known = [rows for rows in batch.values() if rows is not None]
    expected_rows = sum(known) if len(known) == len(batch) else None
    return Unit(kind, tuple(batch), window[0], window[1], expected_rows)


def _digest(keys: tuple[str, ...]) -> str:
    hashed = hashlib.blake2b("\n".join(sorted(keys)).encode(), digest_size=16)
    return f"{len(keys)}x{hashed.hexdigest()}"


def _bound(second: int | None) -> str:
    return "" if second is None else str(second)
