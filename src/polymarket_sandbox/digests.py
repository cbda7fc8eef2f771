"""The order-free digest of a set of text lines.

The sum modulo 2^64, over all lines, of the first 8 bytes (big endian) of the MD5 of each line.
Sums do not depend on the order and count repeats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Heads = NDArray[np.uint64]


@dataclass(frozen=True)
class Summary:
    """How many lines, and their digest as decimal text (a JSON number would lose digits)."""

    count: int
    digest: str

    def report(self) -> dict[str, object]:
        """As JSON."""
        return {"count": self.count, "digest": self.digest}


def heads(lines: Iterable[bytes]) -> Heads:
    """One number per line, in the order given."""
    joined = b"".join(_head(line) for line in lines)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)


def total(found: Heads) -> str:
    """The digest of lines whose numbers these are."""
    return str(int(np.add.reduce(found, dtype=np.uint64)))


def summary(lines: Iterable[str]) -> Summary:
    """Count and digest of lines of text, in UTF-8."""
    found = heads(line.encode() for line in lines)
    return Summary(len(found), total(found))


def _head(line: bytes) -> bytes:
    return hashlib.md5(line, usedforsecurity=False).digest()[:8]
