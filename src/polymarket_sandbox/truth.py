"""What a perfect client would hold in the end: counts and order-free digests.

Lines of the digests (see `digests`):

    trades       tx|wallet|token|side|micro|timestamp
    activity     tx|wallet|condition|token|TYPE|micro|timestamp
    positions    wallet|condition|outcome index|token|OPEN or CLOSED|micro
    user_volume  wallet|day|micro|trades

and those of markets, events and resolutions (see `list_truth`). All ids lower case without 0x,
structural condition ids in their 64-digit form, `micro` shares in millionths. Trades are rows of
type TRADE that are no combos, activity is everything else.

`positions` are the rows of two walks per wallet: `status=OPEN` with `filter_amount=0` and
`include_archived=true`, which shows REDEEMABLE rows too (their line says OPEN), and
`status=CLOSED`. Sizes are those shown, 4 decimals; positions in inactive markets, and closed ones
in archived markets, are never shown and not counted. `open` and `closed` beside them count what
the default dust floor of 0.1 share shows, archived markets left out.

`user_volume` is what `/v2/user-volume` counts per wallet and UTC day (`day`: days since 1970) with
trades: shares of both sides and number of rows, dust left out.

`differing` beside them names the positions that the feeds do not explain, with the reason.
`profit` sums what the wallets earned (see `profit`): the economic profit of the exact ones, the
profit held to resolution and the fees of all.

A question about some wallets and conditions limits trades, activity, positions, user volume and
resolutions to them; markets and events are lists and always whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property

import numpy as np

from polymarket_sandbox import (
    digests,
    feeds,
    list_truth,
    official,
    positions,
    profit_lines,
    rows,
    universe,
    v2_query,
)

DAY = 86_400


class Truth:
    """The answers about one universe; the per-row digests are made once, on the first question."""

    def __init__(
        self,
        world: universe.Universe,
        positions_api: positions.Positions,
        official_api: official.Official,
    ) -> None:
        self._world = world
        self._positions = positions_api
        self._official = official_api

    def everything(self, now: int) -> dict[str, object]:
        """All that wallet walks (full history) and condition walks (three years) can reach."""
        world = self._world
        wallets = set(range(len(world.tables.wallets))) - world.contracts
        conditions = range(len(world.tables.conditions))
        return self._report(wallets, conditions, None, now)

    def of_keys(
        self, wallets: Iterable[str], conditions: Iterable[str], now: int
    ) -> dict[str, object]:
        """The same for the union of these walks; unknown ids and contracts reach nothing."""
        world = self._world
        numbers = {world.wallet_number.get(with_0x(wallet), -1) for wallet in wallets}
        wanted = {v2_query.normal_condition(with_0x(condition)) for condition in conditions}
        known = {world.condition_number.get(condition, -1) for condition in wanted}
        return self._report(numbers - world.contracts - {-1}, known - {-1}, wanted, now)

    def _reached(self, is_wallet: rows.Flags, conditions: Iterable[int], now: int) -> rows.Flags:
        world = self._world
        table = world.table
        is_condition = np.zeros(len(world.tables.conditions) + 1, dtype=np.bool_)
        is_condition[list(conditions)] = True
        in_market = table.is_trade & is_condition[table.condition]
        in_market &= table.ts >= now - feeds.THREE_YEARS
        reached: rows.Flags = (is_wallet[table.wallet] | in_market) & table.listed
        return reached

    def _report(
        self,
        wallets: Iterable[int],
        conditions: Iterable[int],
        wanted: Collection[str] | None,
        now: int,
    ) -> dict[str, object]:
        """`wanted`: the condition ids of `conditions` and those without a trade, None for all."""
        table, lists = self._world.table, self._world.lists
        is_wallet = np.zeros(len(self._world.tables.wallets), dtype=np.bool_)
        is_wallet[list(wallets)] = True
        reached = self._reached(is_wallet, conditions, now)
        trades, other = reached & table.is_trade, reached & ~table.is_trade
        kinds = np.bincount(table.kind[other], minlength=len(rows.KINDS)).tolist()
        named = {name: count for name, count in zip(rows.KINDS, kinds, strict=True) if count}
        return {
            "trades": {
                "rows": int(np.count_nonzero(trades)),
                "digest": self._digest(trades),
                "identical_extra": self._identical(trades),
                "wallets": len(np.unique(table.wallet[trades])),
                "conditions": len(np.unique(table.condition[trades])),
            },
            "activity": {
                "rows": int(np.count_nonzero(other)),
                "digest": self._digest(other),
                "identical_extra": self._identical(other),
                "by_type": named,
            },
            "markets": {
                **list_truth.markets(lists),
                "gamma_open": sum(m.listed and not m.closed for m in lists.markets),
                "gamma_closed": sum(m.listed and m.closed for m in lists.markets),
                "gamma_unlisted": sum(not m.listed for m in lists.markets),
                "gamma_v2": sum(m.listed and m.version == "v2" for m in lists.markets),
                "clob_rows": len(lists.clob),
                "with_condition": len(lists.index.by_condition),
            },
            "events": {
                **list_truth.events(lists),
                "open": sum(not event.closed for event in lists.events),
                "closed": sum(event.closed for event in lists.events),
            },
            "positions": {
                **digests.summary(self._positions.lines(is_wallet)).report(),
                **self._positions.count(is_wallet),
                "differing": self._positions.differing(is_wallet),
            },
            "resolutions": {
                **list_truth.resolutions(lists, wanted, self._settled()),
                "resolved": sum(bool(m.payouts) for m in lists.markets),
            },
            "user_volume": self._volumes(is_wallet),
            "profit": profit_lines.total(self._world, self._official.books, is_wallet),
        }

    def _settled(self) -> dict[str, tuple[int, ...]]:
        conditions = self._world.tables.conditions
        return {conditions[number]: paid for number, paid in self._world.settled.items()}

    def _volumes(self, is_wallet: rows.Flags) -> dict[str, object]:
        """What /v2/user-volume counts, summed and per wallet and UTC day."""
        table = self._world.table
        chosen = np.flatnonzero(table.is_trade & table.listed & is_wallet[table.wallet])
        span = int(table.ts.max(initial=0)) // DAY + 1
        keys = table.wallet[chosen].astype(np.int64) * span + table.ts[chosen] // DAY
        distinct, place = np.unique(keys, return_inverse=True)
        trades = np.bincount(place, minlength=len(distinct))
        micro = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(micro, place, table.micro[chosen])
        wallets = self._world.tables.wallets
        found = digests.summary(
            f"{wallets[key // span][2:]}|{key % span}|{shares}|{count}"
            for key, shares, count in zip(
                distinct.tolist(), micro.tolist(), trades.tolist(), strict=True
            )
        )
        return {**found.report(), "micro": int(micro.sum()), "trades": len(chosen)}

    def _digest(self, chosen: rows.Flags) -> str:
        return digests.total(self._digests[chosen])

    def _identical(self, chosen: rows.Flags) -> int:
        return int(np.count_nonzero(chosen)) - len(np.unique(self._digests[chosen]))

    @cached_property
    def _digests(self) -> digests.Heads:
        table = self._world.table
        found = np.zeros(len(table), dtype=np.uint64)
        is_trade = table.is_trade
        for chosen, lines in (
            (np.flatnonzero(is_trade), self._trade_lines),
            (np.flatnonzero(~is_trade), self._other_lines),
        ):
            found[chosen] = digests.heads(lines(chosen))
        return found

    def _trade_lines(self, chosen: rows.Ints) -> Iterable[bytes]:
        table = self._world.table
        wallets, tokens, _ = self._ids
        transaction = self._world.renderer.transaction
        for tx, wallet, token, side, micro, ts in zip(
            table.tx[chosen].tolist(),
            table.wallet[chosen].tolist(),
            table.token[chosen].tolist(),
            table.side[chosen].tolist(),
            table.micro[chosen].tolist(),
            table.ts[chosen].tolist(),
            strict=True,
        ):
            known = (transaction(tx), wallets[wallet], tokens[token], _SIDES[side], micro, ts)
            yield b"%b|%b|%b|%b|%d|%d" % known

    def _other_lines(self, chosen: rows.Ints) -> Iterable[bytes]:
        table = self._world.table
        wallets, tokens, conditions = self._ids
        transaction = self._world.renderer.transaction
        for tx, wallet, condition, token, kind, micro, ts in zip(
            table.tx[chosen].tolist(),
            table.wallet[chosen].tolist(),
            table.condition[chosen].tolist(),
            table.token[chosen].tolist(),
            table.kind[chosen].tolist(),
            table.micro[chosen].tolist(),
            table.ts[chosen].tolist(),
            strict=True,
        ):
            ids = (transaction(tx), wallets[wallet], conditions[condition], tokens[token])
            yield b"%b|%b|%b|%b|%b|%d|%d" % (*ids, _KINDS[kind], micro, ts)

    @cached_property
    def _ids(self) -> tuple[list[bytes], dict[int, bytes], list[bytes]]:
        """Wallets, tokens and conditions as they stand in the lines; number -1 is empty."""
        tables = self._world.tables
        wallets = [wallet[2:].encode() for wallet in tables.wallets]
        met = np.unique(self._world.table.token).tolist()
        tokens = {number: tables.tokens[number].encode() for number in met if number >= 0}
        conditions = [condition[2:].encode() for condition in tables.conditions]
        return wallets, {**tokens, -1: b""}, [*conditions, b""]


_SIDES = [name.encode() for name in rows.SIDES]
_KINDS = [name.encode() for name in rows.KINDS]


def with_0x(text: str) -> str:
    """Lower case with the prefix, however it was written."""
    lowered = text.strip().lower()
    return lowered if lowered.startswith("0x") else "0x" + lowered


def ranking(world: universe.Universe, kind: str, *, by: str, top: int) -> list[dict[str, object]]:
    """The largest wallets or conditions, those without rows last and combos left out. `kind`:
    "wallets" or "conditions"; `by`: "rows" (listed trades) or "notional" (USD, both sides)."""
    table = world.table
    chosen = table.is_trade & table.listed
    is_wallets = kind == "wallets"
    keys = (table.wallet if is_wallets else table.condition)[chosen]
    names = world.tables.wallets if is_wallets else world.tables.conditions
    counts = np.bincount(keys, minlength=len(names))
    usd = table.micro[chosen] / 1e6 * table.price[chosen]
    notional = np.bincount(keys, weights=usd, minlength=len(names))
    order = np.argsort(counts if by == "rows" else notional, kind="stable")[::-1]
    if not is_wallets:
        order = order[~world.is_combo[order]]
        order = order[[counts[n] > 0 or world.market_of(n) is not None for n in order.tolist()]]
    listed = []
    for number in order[:top].tolist():
        row: dict[str, object] = {
            "rows": int(counts[number]),
            "notional": round(float(notional[number]), 6),
        }
        if is_wallets:
            all_rows = len(world.by_wallet.rows_of(number))
            row.update(wallet=names[number], all_rows=all_rows)
            row["contract"] = number in world.contracts
        else:
            market = world.market_of(number)
            row.update(condition_id=names[number], volume=market.volume if market else None)
        listed.append(row)
    return listed
