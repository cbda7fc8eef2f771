"""Fills written one by one, so that every universe has each hard case of the feeds."""

from __future__ import annotations

import numpy as np

from polymarket_sandbox import trading, wallets

DAY = 86_400
PAGE = 1_000  # the largest page of the Data API v2

# Markets the random fills keep away from.
APART_MARKETS = ("market_busy_second", "market_old", "market_old_tied", "market_untraded")

OLD_FILLS = 240
DUST_FILLS = 25
DUST_MICRO = 4_000


def write_fills(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    named: dict[str, int],
    now: int,
) -> None:
    """All fills made on purpose; `named`: condition numbers of the special markets."""
    _busy_second(fill_writer, rng, wallet_set, named["market_busy_second"])
    full_page_fills = _cut_wallet(fill_writer, rng, wallet_set, now)
    _full_page(fill_writer, rng, wallet_set, full_page_fills)
    _old_trades(fill_writer, rng, wallet_set, [named["market_old"], named["market_old_tied"]])
    _one_row(fill_writer, wallet_set, now)
    _dust(fill_writer, rng, wallet_set, now)
    _head(fill_writer, rng, wallet_set, now)


def _anyone(rng: np.random.Generator, wallet_set: wallets.WalletSet, count: int) -> list[int]:
    """Different ordinary wallets, contracts excepted."""
    free = wallet_set.ordinary[~np.isin(wallet_set.ordinary, wallet_set.contracts)]
    drawn: list[int] = rng.choice(free, size=count, replace=False).tolist()
    return drawn


def _size(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 400)) * 1_000_000 // int(rng.integers(1, 9))


def _busy_second(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    condition: int,
) -> None:
    """More than a page in one second of one market, which also closes the market's feed: twins of
    one maker stand on both sides of the boundary between page 1 and page 2, newest first."""
    venue = fill_writer.venue
    first, busy = int(venue.first[condition]), int(venue.last[condition]) - 600
    for number in range(40):
        taker, maker = _anyone(rng, wallet_set, 2)
        fill_writer.fill(first + 997 * number, condition, taker, [(maker, _size(rng))])
    for _ in range(45):
        taker, *makers = _anyone(rng, wallet_set, 3)
        fill_writer.fill(busy, condition, taker, [(maker, _size(rng)) for maker in makers])
    # Newest first: 332 transactions of 3 rows and one of 2 are 998 rows; then comes the taker of
    # the next transaction, its second maker row (number 999) and its equal first (number 1000).
    taker, maker = _anyone(rng, wallet_set, 2)
    fill_writer.fill(busy, condition, taker, [(maker, 5_000_000)] * 2, ticks=430)
    for _ in range(332):
        taker, *makers = _anyone(rng, wallet_set, 3)
        fill_writer.fill(busy, condition, taker, [(maker, _size(rng)) for maker in makers])
    taker, maker = _anyone(rng, wallet_set, 2)
    fill_writer.fill(busy, condition, taker, [(maker, _size(rng))])


def _recent(
    fill_writer: trading.FillWriter, rng: np.random.Generator, now: int
) -> tuple[int, int, int]:
    """A binary condition traded at random, and its window within the last two years."""
    venue = fill_writer.venue
    fit = (venue.chances > 0) & (venue.outcomes == 2) & (venue.last - venue.first > 600)
    fit &= venue.first > now - 2 * 365 * DAY
    condition = int(rng.choice(np.flatnonzero(fit)))
    return condition, int(venue.first[condition]), int(venue.last[condition])


def _cut_wallet(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    now: int,
) -> list[tuple[int, int]]:
    """A wallet of exactly two pages whose middle transaction has four rows of its own, the two in
    the middle equal: the page boundary falls between the twins in both directions.

    Returns the (time, condition) of its 998 newest rows, which the full-page wallet shares.
    """
    me = wallet_set.special["wallet_tx_cut"]
    condition, first, last = _recent(fill_writer, rng, now)
    middle = (first + last) // 2
    (other,) = _anyone(rng, wallet_set, 1)
    for number in range((PAGE - 2) // 2):
        (taker,) = _anyone(rng, wallet_set, 1)
        ts = first + number * max((middle - first - 1) // PAGE, 0)
        fill_writer.fill(ts, condition, taker, [(me, _size(rng)), (me, _size(rng))])
    twins = [(me, 3_000_000), (me, 7_250_000), (me, 7_250_000), (me, 4_000_000)]
    fill_writer.fill(middle, condition, other, twins, ticks=970)
    step = max((last - middle - 1) // PAGE, 1)
    return [(min(middle + 1 + number * step, last), condition) for number in range(PAGE - 2)]


def _full_page(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    shared: list[tuple[int, int]],
) -> None:
    """A wallet of exactly one page: taker against the cut wallet, and two rows of its own."""
    me, cut = wallet_set.special["wallet_full_page"], wallet_set.special["wallet_tx_cut"]
    for ts, condition in shared:
        fill_writer.fill(ts, condition, me, [(cut, _size(rng))])
    ts, condition = shared[-1]
    for maker in _anyone(rng, wallet_set, 2):
        fill_writer.fill(ts, condition, me, [(maker, _size(rng))])


def _old_trades(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    conditions: list[int],
) -> None:
    """Trades older than three years: only a wallet asked with start=1 shows them."""
    venue, me = fill_writer.venue, wallet_set.special["wallet_old"]
    for number in range(OLD_FILLS):
        condition = conditions[number % 2]
        ts = int(rng.integers(venue.first[condition], venue.last[condition]))
        taker, maker = _anyone(rng, wallet_set, 2)
        if number % 3 == 0:
            taker = me
        if maker == taker:
            maker = wallet_set.special["wallet_big"]
        fill_writer.fill(ts, condition, taker, [(maker, _size(rng))])


def _one_row(fill_writer: trading.FillWriter, wallet_set: wallets.WalletSet, now: int) -> None:
    condition, _, last = _recent(fill_writer, np.random.default_rng(1), now)
    me, other = wallet_set.special["wallet_one_row"], wallet_set.special["wallet_old"]
    fill_writer.fill(last - 1, condition, other, [(me, 12_345_678)], ticks=333)


def _dust(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    now: int,
) -> None:
    """Fills with a maker under 0.01 share: the row is never listed, the volume counts it."""
    for _ in range(DUST_FILLS):
        condition, first, last = _recent(fill_writer, rng, now)
        taker, *makers = _anyone(rng, wallet_set, 3)
        pieces = [(makers[0], DUST_MICRO), (makers[1], _size(rng))]
        fill_writer.fill((first + last) // 2, condition, taker, pieces)


def _head(
    fill_writer: trading.FillWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    now: int,
) -> None:
    """The newest trades: seconds old, not enriched yet."""
    venue = fill_writer.venue
    open_now = np.flatnonzero((venue.chances > 0) & (venue.last >= now - 5) & (venue.outcomes == 2))
    for age in range(80, 4, -1):
        condition = int(rng.choice(open_now))
        taker, *makers = _anyone(rng, wallet_set, 3)
        fill_writer.fill(now - age, condition, taker, [(maker, _size(rng)) for maker in makers])
