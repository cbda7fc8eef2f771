"""Data API v2, /v2/user-stats and /v2/user-pnl: what Polymarket itself says a wallet earned.

The figures are those of the books (see `profit`), unless one was changed on request. Of the parts,
`trade_pnl` is the economic profit without income and before fees, of which `unrealized_pnl` is
what the positions held now would bring beyond their average price and `realized_pnl` the rest.
`cashflow_net` is the cash of all rows, deposits and withdrawals apart. The curve prices the past
at today's prices: it is the cash until then, and what was held then at its worth of now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from polymarket_sandbox import feeds, moves, positions, profit, responses, rows, v2_query
from polymarket_sandbox import universe as universes

HOUR, DAY = 3_600, 86_400
_INTERVALS = {
    "max": None,
    "all": None,
    "1m": 30 * DAY,
    "1w": 7 * DAY,
    "1d": DAY,
    "12h": 12 * HOUR,
    "6h": 6 * HOUR,
}
_STEPS = {"1d": DAY, "18h": 18 * HOUR, "12h": 12 * HOUR, "3h": 3 * HOUR, "1h": HOUR}
_INCOME_PARTS = {
    "maker_rebate": "MAKER_REBATE",
    "taker_rebate": "TAKER_REBATE",
    "reward_income": "REWARD",
    "yield_income": "YIELD",
    "referral_income": "REFERRAL_REWARD",
    "deposits": "DEPOSIT",
    "withdrawals": "WITHDRAWAL",
}
_EARNED = ("maker_rebate", "taker_rebate", "reward_income", "yield_income", "referral_income")


class Official:
    """The two routes over one universe. `now`: its present, epoch seconds. `changed`: USD that the
    official figure of a wallet differs from the truth, by wallet number."""

    def __init__(
        self,
        world: universes.Universe,
        held: positions.Positions,
        now: Callable[[], int],
    ) -> None:
        self._world = world
        self._positions = held
        self._now = now
        self.changed: dict[int, float] = {}
        self._made: tuple[object, profit.Books] | None = None

    @property
    def books(self) -> profit.Books:
        """The books as the universe is now, made again after a change."""
        state = (self._world.lists.version, frozenset(self._positions.transferred))
        if self._made is None or self._made[0] != state:
            changes, moved = self._positions.changes, self._positions.transferred
            self._made = (state, profit.books(self._world, changes, moved))
        return self._made[1]

    def prepare(self) -> None:
        """Make now what would hold up the first answers."""
        _ = (self.books, self._changes, self._converted)

    def change(self, wallet: str, usd: float) -> None:
        """Add USD to the official figure of a wallet. Raises KeyError for an unknown one."""
        number = self._world.wallet_number[wallet]
        self.changed[number] = self.changed.get(number, 0.0) + usd

    def stats(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/user-stats: null for a wallet nobody knows, zeros for one that never did
        anything."""
        user = self._user(query)
        if user < 0:
            return responses.as_json({"data": None})
        mine, books = self._world.by_wallet.rows_of(user), self.books
        own = books.wallet == user
        won = books.economic[own]
        markets = np.unique(self._world.table.condition[mine[self._world.table.is_trade[mine]]])
        data = {
            "proxy_wallet": self._world.tables.wallets[user],
            "trades": len(markets),
            "biggest_win": _usd(max(won.max(initial=0.0), 0.0)),
            "views": user % 40,
            "join_date": int(self._world.table.ts[mine[0]]) if len(mine) else None,
            "all_time_pnl": self._points(user, [self._now()])[0] if len(mine) else None,
        }
        return responses.as_json({"data": data})

    def curve(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/user-pnl: cumulative figures at every step of the interval; none of a wallet that
        never did anything."""
        user = self._user(query)
        interval = query.choice("interval", tuple(_INTERVALS), "1d") or "1d"
        fidelity = query.choice("fidelity", tuple(_STEPS), "1h") or "1h"
        mine = self._world.by_wallet.rows_of(user) if user >= 0 else rows.nothing()
        end, step = self._now(), _STEPS[fidelity]
        oldest = int(self._world.table.ts[mine[0]]) if len(mine) else end
        span = _INTERVALS[interval]
        begin = oldest if span is None else max(oldest, end - span)
        moments = [*range(begin // step * step + step, end, step), end]
        data = {
            "proxy_wallet": query.wallet(),
            "interval": interval,
            "fidelity": fidelity,
            "source_fidelity": fidelity,
            "points": self._points(user, moments) if len(mine) else [],
        }
        return responses.as_json({"data": data})

    def figure(self, user: int) -> float:
        """The official profit of a wallet now."""
        books = self.books
        own = float(books.economic[books.wallet == user].sum())
        income = sum(float(books.income[name][user]) for name in profit.INCOMES)
        return own + income + self.changed.get(user, 0.0)

    def _user(self, query: v2_query.V2Query) -> int:
        user = feeds.user_of(query, self._world)
        if user is None:
            raise responses.refused("required query param 'user' not provided", parameter="user")
        return user

    def _points(self, user: int, moments: list[int]) -> list[dict[str, object]]:
        """All figures of a wallet at these seconds, ascending."""
        table, mine = self._world.table, self._world.by_wallet.rows_of(user)
        mine = mine[~table.combo[mine]]
        until = np.searchsorted(table.ts[mine], moments, side="right")
        is_trade, usdc = table.is_trade[mine], table.usdc[mine]
        worth = np.where(is_trade, table.micro[mine] / 1e6 * table.price[mine], 0.0)
        amounts = {
            name: np.where(table.kind[mine] == rows.KIND[kind], usdc, 0.0)
            for name, kind in _INCOME_PARTS.items()
        }
        amounts["fees"] = np.where(is_trade, np.round(np.abs(usdc - worth), 6), 0.0)
        amounts["volume"] = np.where(is_trade, table.micro[mine] / 1e6, 0.0)
        amounts["volume_usdc"] = worth
        amounts["trade_count"] = is_trade.astype(np.float64)
        amounts["cashflow_net"] = self._cash(mine)
        running = {name: np.append(0.0, np.cumsum(each))[until] for name, each in amounts.items()}
        value = self._value(user, moments)
        return [
            self._point(
                user,
                moment,
                {name: float(each[place]) for name, each in running.items()},
                value=float(value[place]),
                is_last=place == len(moments) - 1,
            )
            for place, moment in enumerate(moments)
        ]

    def _cash(self, mine: rows.SmallInts) -> rows.Floats:
        """USD that came in with each row, negative for what went out; deposits count nothing."""
        table = self._world.table
        kind, side, usdc = table.kind[mine], table.side[mine], table.usdc[mine]
        signs = np.zeros(len(rows.KINDS))
        for name in ("MERGE", "REDEEM", *(k for kinds in profit.INCOMES.values() for k in kinds)):
            signs[rows.KIND[name]] = 1.0
        signs[rows.KIND["SPLIT"]] = -1.0
        sign = np.where(kind == rows.TRADE, np.where(side == rows.BUY, -1.0, 1.0), signs[kind])
        cash: rows.Floats = sign * usdc + self._converted[mine]
        return cash

    @cached_property
    def _converted(self) -> rows.Floats:
        """USD that the conversion of each row brought."""
        numbers, paid = profit.conversion_cash(self._world)
        converted = np.zeros(len(self._world.table))
        converted[numbers] = paid
        return converted

    @cached_property
    def _changes(self) -> moves.Moves:
        """All moves by wallet, and oldest first."""
        changes = self._positions.changes
        return changes.taken(np.lexsort((changes.ts, changes.wallet)))

    def _value(self, user: int, moments: list[int]) -> rows.Floats:
        """What was held at these seconds, at the prices of now."""
        low, high = np.searchsorted(self._changes.wallet, (user, user + 1)).tolist()
        own = self._changes.taken(np.arange(low, high))
        signed = np.where(own.buying, own.micro, -own.micro) / 1e6
        until = np.searchsorted(own.ts, moments, side="right")
        worth = np.append(0.0, np.cumsum(signed * self.books.prices[own.token]))
        value: rows.Floats = worth[until]
        return value

    def _point(
        self, user: int, moment: int, sums: dict[str, float], *, value: float, is_last: bool
    ) -> dict[str, object]:
        earned = sum(sums[name] for name in _EARNED)
        economic = sums["cashflow_net"] + value
        traded = economic - earned + sums["fees"]
        changed = self.changed.get(user, 0.0) if is_last else 0.0
        unrealized = self._unrealized(user) if is_last else None
        realized = traded - (unrealized or 0.0)
        usd = {
            "realized_market_pnl": realized,
            "realized_lp_pnl": 0.0,
            "realized_combo_pnl": 0.0,
            "realized_pnl": realized,
            "fees_paid": sums["fees"],
            "fees_refunded": 0.0,
            "sponsored_income": 0.0,
            "wallet_income": earned,
            "trade_pnl": traded + changed,
            "position_pnl": traded + changed,
            "economic_pnl": economic + changed,
            **{name: sums[name] for name in (*_INCOME_PARTS, "fees", "cashflow_net")},
            "volume": sums["volume"],
            "volume_usdc": sums["volume_usdc"],
        }
        return {
            "timestamp": moment,
            "source_block": int(rows.block_of(np.array([moment]))[0]),
            "trade_count": round(sums["trade_count"]),
            "settled_pnl": None,
            "unrealized_pnl": None if unrealized is None else _usd(unrealized),
            **{name: _usd(amount) for name, amount in usd.items()},
        }

    def _unrealized(self, user: int) -> float:
        book = self._positions.book
        low, high = np.searchsorted(book.wallet, (user, user + 1)).tolist()
        gain = book.size[low:high] * (book.price[low:high] - book.average[low:high])
        return float(gain.sum())


def _usd(amount: float) -> float:
    return round(float(amount), 6) + 0.0
