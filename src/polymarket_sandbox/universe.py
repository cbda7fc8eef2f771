"""One whole universe, ready to answer: rows, groups of rows, texts and the catalog."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from polymarket_sandbox import catalog, row_renderer, rows

# (token number, change in micro-shares, USD a share) of everything one transaction moves.
Effect = tuple[tuple[int, int, float], ...]
# (wallet number, token number, epoch second, change in micro-shares) of a direct transfer.
Transfer = tuple[int, int, int, int]


# No repr: a failing test or a task name would print a million rows.
@dataclass(frozen=True, repr=False)
class Tables:
    """What the numbers in the rows stand for. `conditions`: `0x` + 64 hex, combos included;
    `token_outcome[t]`: outcome index of a token, -1 for a combo's."""

    wallets: Sequence[str]
    conditions: Sequence[str]
    tokens: Sequence[str]
    token_condition: rows.SmallInts
    token_outcome: rows.SmallInts


@dataclass(frozen=True, repr=False)
class Universe:
    """Immutable after it was built; `special` names the wallets and markets made on purpose,
    `contracts` are the wallet numbers the Data API refuses, `profiles` go by wallet number.
    `effects`: what a transaction moved whose rows do not say it, by number of the transaction;
    `transfers`: what no feed shows; `settled`: payouts of recorded markets that no list tells, in
    micro-USDC a share by condition number; `recorded_positions`: rows by (wallet, token) number."""

    now: int
    table: rows.Rows
    tables: Tables
    profiles: Sequence[row_renderer.Profile]
    renderer: row_renderer.Renderer
    lists: catalog.Catalog
    special: Mapping[str, str]
    contracts: frozenset[int]
    effects: Mapping[int, Effect] = field(default_factory=dict)
    transfers: Sequence[Transfer] = ()
    settled: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    recorded_positions: Mapping[tuple[int, int], Mapping[str, object]] = field(default_factory=dict)

    @cached_property
    def wallet_number(self) -> Mapping[str, int]:
        return {wallet: number for number, wallet in enumerate(self.tables.wallets)}

    @cached_property
    def condition_number(self) -> Mapping[str, int]:
        return {condition: number for number, condition in enumerate(self.tables.conditions)}

    @cached_property
    def by_wallet(self) -> rows.Groups:
        """Listed rows of every wallet, trades and all else."""
        return rows.group(self.table.wallet, self.table.listed, len(self.tables.wallets))

    @cached_property
    def by_condition(self) -> rows.Groups:
        """Listed trades of every condition, both sides."""
        included = self.table.listed & self.table.is_trade & (self.table.condition >= 0)
        return rows.group(self.table.condition, included, len(self.tables.conditions))

    @cached_property
    def condition_tokens(self) -> rows.SmallInts:
        """Token numbers by condition and outcome index, -1 where there is none."""
        outcome = self.tables.token_outcome
        known = np.flatnonzero(outcome >= 0)
        width = int(outcome.max(initial=1)) + 1
        held = np.full((len(self.tables.conditions), width), -1, dtype=np.int32)
        held[self.tables.token_condition[known], outcome[known]] = known
        return held

    @cached_property
    def is_combo(self) -> rows.Flags:
        """By condition number: whether only combos stand on it."""
        flags = np.zeros(len(self.tables.conditions), dtype=np.bool_)
        flags[np.unique(self.table.condition[self.table.combo])] = True
        return flags

    @cached_property
    def conditions_of_event(self) -> Mapping[int, tuple[int, ...]]:
        """Condition numbers by Gamma event id."""
        found: dict[int, list[int]] = {}
        for market in self.lists.markets:
            number = self.condition_number.get(market.condition_id)
            for event_id in market.event_ids or ():
                if number is not None:
                    found.setdefault(event_id, []).append(number)
        return {event_id: tuple(numbers) for event_id, numbers in found.items()}

    def fork(self) -> Universe:
        """A universe whose markets may change by themselves; all else is shared."""
        forked = copy.copy(self)
        object.__setattr__(forked, "lists", self.lists.fork())
        return forked

    def payouts_of(self, condition: int) -> tuple[int, ...]:
        """Payouts of a condition number in micro-USDC a share, () while it is not resolved."""
        market = self.market_of(condition)
        listed = market.payouts if market else ()
        return listed or self.settled.get(condition, ())

    def market_of(self, condition: int) -> catalog.Market | None:
        """The catalog's market of a condition number, None when only trades know it."""
        position = self.lists.index.by_condition.get(self.tables.conditions[condition])
        return None if position is None else self.lists.markets[position]


def taker_volumes(columns: rows.Rows, conditions: int) -> rows.Floats:
    """Shares by condition, half the sizes of both sides, dust included: Gamma's `volumeNum`."""
    traded = columns.is_trade
    micro = np.bincount(
        columns.condition[traded], weights=columns.micro[traded], minlength=conditions
    )
    volumes: rows.Floats = np.round(micro / 2e6, 6)
    return volumes
