"""Every row of the universe as columns, sorted by (timestamp, sequence).

A row's number is its place in that order, so "newer than" is an integer comparison and every
question of a feed becomes a search in a sorted list of row numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Data API v2, /v2/activity: the types of a row. TIP is opt-in by name and left out.
KINDS = (
    "TRADE",
    "SPLIT",
    "MERGE",
    "REDEEM",
    "REWARD",
    "CONVERSION",
    "MIGRATION",
    "DEPOSIT",
    "WITHDRAWAL",
    "YIELD",
    "MAKER_REBATE",
    "TAKER_REBATE",
    "REFERRAL_REWARD",
)
KIND = {name: number for number, name in enumerate(KINDS)}
TRADE = KIND["TRADE"]
SIDES = ("", "BUY", "SELL")
NO_SIDE, BUY, SELL = 0, 1, 2

# Rows under 0.01 share are never listed (Data API v2, /v2/trades, filter_amount).
DUST_MICRO = 10_000

# Polygon block 94,610,052 was mined at 2026-09-28 18:30:20Z; genesis 2020-05-30.
_GENESIS_TS = 1_590_824_836
_KNOWN_TS, _KNOWN_BLOCK = 1_790_620_220, 94_610_052

COLUMN_TYPES: Mapping[str, type[np.generic]] = {
    "ts": np.int64,
    "kind": np.uint8,
    "side": np.uint8,
    "wallet": np.int32,
    "profile": np.int32,
    "condition": np.int32,
    "token": np.int32,
    "display": np.int32,
    "micro": np.int64,
    "price": np.float64,
    "usdc": np.float64,
    "tx": np.int32,
    "taker": np.bool_,
    "combo": np.bool_,
}


@dataclass(frozen=True, repr=False)
class Rows:
    """The columns; all of one length.

    `ts` epoch seconds, `seq` the hidden sequence number, `micro` size in millionths of a share,
    `usdc` USD, `tx` number of the transaction, `display` number of the texts shown beside it,
    `token`, `condition` numbers in the universe's tables or -1. `arrives`: the second in which
    a row of a universe that grows becomes visible.
    """

    ts: Ints
    seq: Ints
    kind: NDArray[np.uint8]
    side: NDArray[np.uint8]
    wallet: SmallInts
    profile: SmallInts
    condition: SmallInts
    token: SmallInts
    display: SmallInts
    micro: Ints
    price: Floats
    usdc: Floats
    tx: SmallInts
    taker: Flags
    combo: Flags
    late: Flags
    arrives: Ints

    def __len__(self) -> int:
        return len(self.ts)

    def only(self, chosen: Flags) -> Rows:
        """The rows that are flagged, with their sequence numbers."""
        columns = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        return Rows(**columns)

    @property
    def is_trade(self) -> Flags:
        """Fills of single markets: what /v2/trades is about."""
        flags: Flags = (self.kind == TRADE) & ~self.combo
        return flags

    @property
    def listed(self) -> Flags:
        """Rows a feed may show: everything but trade dust."""
        flags: Flags = (self.kind != TRADE) | (self.micro >= DUST_MICRO)
        return flags


def nothing() -> SmallInts:
    """No row numbers."""
    return np.zeros(0, dtype=np.int32)


def block_of(ts: Ints) -> Ints:
    """Block numbers of epoch seconds, by the chain's average block time."""
    blocks: Ints = (ts - _GENESIS_TS) * _KNOWN_BLOCK // (_KNOWN_TS - _GENESIS_TS)
    return blocks


def sequence_of(ts: Ints) -> Ints:
    """Sequence numbers of rows already in order: block x 10^10 + place in the block x 10.

    The live form is a guess of its readers; that it rises with the row order is what counts.
    """
    blocks = block_of(ts)
    first_of_block = np.searchsorted(blocks, blocks, side="left")
    sequence: Ints = blocks * 10**10 + (np.arange(len(ts)) - first_of_block) * 10 + 10
    return sequence


def assemble(parts: Sequence[Mapping[str, NDArray[np.generic]]]) -> Rows:
    """Rows from unsorted blocks of columns; the blocks' own order breaks ties of time."""
    merged = {
        name: np.concatenate([np.asarray(part[name]) for part in parts]).astype(kind, copy=False)
        for name, kind in COLUMN_TYPES.items()
    }
    order = np.argsort(merged["ts"], kind="stable")
    columns = {name: values[order] for name, values in merged.items()}
    late = np.zeros(len(order), dtype=np.bool_)
    return Rows(seq=sequence_of(columns["ts"]), late=late, arrives=columns["ts"], **columns)


@dataclass(frozen=True, repr=False)
class Groups:
    """Row numbers grouped by a key: one sorted list of all, and where each group starts."""

    order: SmallInts
    starts: Ints

    def rows_of(self, key: int) -> SmallInts:
        """Ascending row numbers of one key."""
        return self.order[self.starts[key] : self.starts[key + 1]]

    def counts(self) -> Ints:
        """Rows per key."""
        return np.diff(self.starts)


def group(keys: SmallInts, included: Flags, size: int) -> Groups:
    """Group the included rows by `keys`, which lie in 0..size-1 wherever included."""
    chosen = np.flatnonzero(included).astype(np.int32)
    chosen_keys = keys[chosen]
    order = chosen[np.argsort(chosen_keys, kind="stable")]
    counts = np.bincount(chosen_keys, minlength=size)
    return Groups(order=order, starts=np.concatenate(([0], np.cumsum(counts))))
