"""A set of finished keys that stays small: about 20 bytes for each, never rebuilt."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from struct import Struct

_BUCKETS = 1 << 16
_TAIL_BYTES = 12
_ENTRY = Struct(">H12sI")
ENTRY_BYTES = _ENTRY.size
_SLOT_BYTES = _TAIL_BYTES + 4


def entry(kind: str, key: str, window: int) -> bytes:
    """The 18 bytes that stand for one finished key: 112 bits of hash and the window's number.

    With ten million keys the chance that any two meet is below 10^-19.
    """
    hashed = hashlib.blake2b(f"{kind}\n{key}".encode(), digest_size=14).digest()
    return hashed + window.to_bytes(4, "big")


class DoneIndex:
    """Which (kind, key, window) are done.

    The first two bytes of an entry choose a bucket, the other sixteen are appended to it. A
    bucket of a million keys holds fifteen; nothing is ever sorted or moved as a whole.
    """

    def __init__(self) -> None:
        self._buckets = [b""] * _BUCKETS
        self._counts: Counter[int] = Counter()

    def __contains__(self, wanted: bytes) -> bool:
        return _find(self._buckets[_bucket(wanted)], wanted[2:]) >= 0

    def __len__(self) -> int:
        return self._counts.total()

    def count(self, windows: Iterable[int]) -> int:
        """Finished keys in these windows."""
        return sum(self._counts[window] for window in windows)

    def add(self, new: bytes) -> None:
        """Take one entry in; one that is there already changes nothing."""
        if new in self:
            return
        self._buckets[_bucket(new)] += new[2:]
        self._counts[int.from_bytes(new[-4:], "big")] += 1

    def load(self, packed: bytes) -> None:
        """Take in entries known to be new, back to back."""
        buckets, counts = self._buckets, self._counts
        for bucket, tail, window in _ENTRY.iter_unpack(packed):
            buckets[bucket] += tail + window.to_bytes(4, "big")
            counts[window] += 1

    def drop_key(self, any_entry: bytes) -> bool:
        """Remove a key in every window; the entry may carry any window. True if it was there."""
        bucket = _bucket(any_entry)
        kept = [
            slot for slot in _slots(self._buckets[bucket]) if slot[:_TAIL_BYTES] != any_entry[2:-4]
        ]
        return self._keep(bucket, kept)

    def drop_windows(self, windows: set[int]) -> None:
        """Remove every key of these windows."""
        numbers = {number.to_bytes(4, "big") for number in windows}
        for bucket, packed in enumerate(self._buckets):
            if packed:
                kept = [slot for slot in _slots(packed) if slot[_TAIL_BYTES:] not in numbers]
                self._keep(bucket, kept)

    def _keep(self, bucket: int, kept: list[bytes]) -> bool:
        before = _slots(self._buckets[bucket])
        if len(kept) == len(before):
            return False
        self._counts.subtract(int.from_bytes(slot[_TAIL_BYTES:], "big") for slot in before)
        self._counts.update(int.from_bytes(slot[_TAIL_BYTES:], "big") for slot in kept)
        self._buckets[bucket] = b"".join(kept)
        return True


def _bucket(entry_bytes: bytes) -> int:
    return entry_bytes[0] << 8 | entry_bytes[1]


def _slots(packed: bytes) -> list[bytes]:
    return [packed[at : at + _SLOT_BYTES] for at in range(0, len(packed), _SLOT_BYTES)]


def _find(packed: bytes, slot: bytes) -> int:
    at = packed.find(slot)
    while at > 0 and at % _SLOT_BYTES:
        at = packed.find(slot, at + 1)
    return at
