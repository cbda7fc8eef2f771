"""What the store held after a night, kept in a small file, so that the next night has a "before".

A file that is lost or damaged makes the night before unknown. It never makes it zero.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from polybackfill.filesystem import sealed_json
from polybackfill.store import client

FILE = "morning_nights.json"
LEADERS = 10

# As `wallet_pnl` sums them, without the ranks of all wallets.
_LEADERS = f"""
SELECT concat('0x', wallet_address) AS wallet, toFloat64(sum(economic_pnl_usd)) AS usd
FROM wallet_category_pnl GROUP BY wallet_address
HAVING min(is_exact) AND usd > 0
ORDER BY usd DESC, wallet LIMIT {LEADERS}
"""


class Leader(msgspec.Struct, frozen=True):
    """A wallet and its economic profit in USD."""

    wallet: str
    usd: float


class NightRecord(msgspec.Struct, frozen=True):
    """The store after the run that began at `started_at`, counted at `at` (epoch seconds).

    `rows`: by table. `wallets`, `markets`: with external trades. `leaders`: the most profitable
    wallets among those whose economic profit is known and no loss, the first at the head.
    """

    started_at: float
    at: float
    rows: dict[str, int]
    wallets: int
    markets: int
    leaders: tuple[Leader, ...]


class _Nights(msgspec.Struct, frozen=True):
    nights: tuple[NightRecord, ...]


async def read_leaders(store: client.Store) -> tuple[Leader, ...]:
    """The most profitable wallets, as last computed."""
    return tuple(msgspec.convert(await store.rows(_LEADERS), list[Leader]))


def read_before(file: Path, started_at: float) -> NightRecord | None:
    """The newest record of a run that began before `started_at`; None when there is none."""
    earlier = [night for night in _read_nights(file) if night.started_at < started_at]
    return max(earlier, key=lambda night: night.started_at, default=None)


def keep(file: Path, record: NightRecord) -> None:
    """Keep this night and the one before it. A second report of a night takes the place of the
    first. Raises errors.Stop.
    """
    before = read_before(file, record.started_at)
    nights = (record,) if before is None else (before, record)
    sealed_json.write(file, _Nights(nights))


def _read_nights(file: Path) -> tuple[NightRecord, ...]:
    """What is kept; nothing where that is lost or damaged, which the report says by "unknown"."""
    stored = sealed_json.read(file, _Nights)
    return stored.nights if stored is not None else ()
