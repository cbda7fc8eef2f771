"""Build a universe from a seed: wallets, markets, random fills and the edge cases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import overload

import numpy as np

from polymarket_sandbox import (
    catalog,
    edge_case_fills,
    edge_case_markets,
    fees,
    growth,
    holdings,
    markets,
    money_markets,
    money_rows,
    options,
    position_events,
    row_renderer,
    rows,
    tokens,
    trading,
    universe,
    wallets,
)

DAY = 86_400
WIDEST = 3  # outcomes of the widest market
FRESH_S = 900  # rows younger than this are not enriched yet
COMBOS = 12


@dataclass(frozen=True)
class _Layout:
    """Where the display texts of one kind start; a token's own number is its normal display."""

    tokenless: int
    blank: int
    fresh: int
    short: int

    @classmethod
    def for_counts(cls, tokens_known: int, conditions: int) -> _Layout:
        """The layout of so many tokens and conditions."""
        blank = tokens_known + conditions
        return cls(
            tokenless=tokens_known, blank=blank, fresh=blank + 1, short=blank + 1 + tokens_known
        )


@dataclass(frozen=True)
class _BuildContext:
    """All that stands before the first row is drawn."""

    rng: np.random.Generator
    wallet_set: wallets.WalletSet
    draft: markets.CatalogDraft
    traded: Sequence[catalog.Market]
    venue: trading.Venue
    tables: universe.Tables
    layout: _Layout
    seed: int
    money: money_markets.MoneyMarkets | None


def build(settings: options.SandboxOptions) -> universe.Universe:
    """The universe of these options; equal options share one."""
    return _build(
        settings.seed,
        settings.started_at,
        markets_asked=settings.markets,
        wallets_asked=settings.wallets,
        trades=settings.trades,
        late_rows=settings.late_rows,
        events=settings.events,
        money_cases=settings.money_cases,
        grow_s=settings.grow_s,
        late_after_s=settings.late_after_s,
    )


@lru_cache(maxsize=3)
def _build(
    seed: int,
    now: int,
    *,
    markets_asked: int,
    wallets_asked: int,
    trades: int,
    late_rows: int,
    events: int | None,
    money_cases: bool,
    grow_s: float,
    late_after_s: float,
) -> universe.Universe:
    wallet_set = wallets.generate(seed=seed, count=wallets_asked, trades=trades)
    draft = markets.new_draft(now=now, seed=seed)
    edge_case_markets.add(draft)
    markets.add_random_markets(draft, count=markets_asked, events=events)
    money = money_markets.add(draft) if money_cases else None
    traded = [market for market in draft.markets if market.condition_id]
    venue = _venue(draft, traded, money.ids if money else ())
    groups = dict.fromkeys(market.neg_risk_market_id for market in traded) if money else {}
    tables = _tables(wallet_set, traded, venue, _combos(seed), [text for text in groups if text])
    layout = _Layout.for_counts(len(tables.tokens), len(tables.conditions))
    rng = np.random.default_rng(seed)
    context = _BuildContext(rng, wallet_set, draft, traded, venue, tables, layout, seed, money)
    parts = _draw_rows(context, trades)
    columns = rows.assemble(parts.blocks)
    _mark_variants(context, columns)
    transfers: Sequence[universe.Transfer] = parts.transfers
    if grow_s:
        created = [market.created for market in draft.markets]
        warp = growth.Warp(columns.ts, created, now=now, grow_s=grow_s)
        ts = warp.move(columns.ts)
        columns = replace(columns, ts=ts, seq=rows.sequence_of(ts))
        warp.move_lists(draft)
        transfers = [(who, token, warp.move_one(at), n) for who, token, at, n in transfers]
        arrives = growth.choose_arrivals(
            rng, columns, now=now, late_rows=late_rows, late_after_s=late_after_s
        )
        columns = replace(columns, arrives=arrives)
    else:
        _mark_late(rng, columns, late_rows)
    volumes = universe.taker_volumes(columns, len(tables.conditions))
    for number, market in enumerate(traded):
        market.volume = float(volumes[number])
    shown, columns.display[:] = np.unique(columns.display, return_inverse=True)
    displays = _Displays(draft, traded, tables, layout).render(shown.tolist())
    tx_hex = rng.bytes(32 * parts.transactions).hex().encode()
    return universe.Universe(
        now=now,
        table=columns,
        tables=tables,
        profiles=wallet_set.profiles,
        renderer=row_renderer.Renderer(columns, wallet_set.profiles, displays, tx_hex),
        lists=markets.build_catalog(draft),
        special=_special_names(wallet_set, draft),
        contracts=frozenset(wallet_set.contracts),
        effects=parts.effects,
        transfers=transfers,
    )


def _venue(
    draft: markets.CatalogDraft, traded: Sequence[catalog.Market], reserved: Sequence[int]
) -> trading.Venue:
    token_numbers = np.full((len(traded), WIDEST), -1, dtype=np.int32)
    number = 0
    for place, market in enumerate(traded):
        for outcome in range(len(market.outcomes)):
            token_numbers[place, outcome] = number
            number += 1
    windows = [draft.windows[market.id] for market in traded]
    apart = {*(draft.special[name] for name in edge_case_fills.APART_MARKETS), *reserved}
    weights = np.array(
        [
            0.0 if market.id in apart else 1 / (place % 4_000 + 3) ** 0.8
            for place, market in enumerate(traded)
        ]
    )
    return trading.Venue(
        tokens=token_numbers,
        outcomes=np.array([len(market.outcomes) for market in traded]),
        first=np.array([first for first, _ in windows]),
        last=np.array([max(first + 1, last) for first, last in windows]),
        chances=weights / weights.sum(),
    )


class _Tokens(Sequence[str]):
    """Token ids by number, derived when they are asked for; those of combos stand at the end."""

    def __init__(
        self,
        traded: Sequence[catalog.Market],
        places: Sequence[int],
        outcomes: Sequence[int],
        combos: Sequence[str],
    ) -> None:
        self._traded, self._places, self._outcomes = traded, places, outcomes
        self._combos = combos

    def __len__(self) -> int:
        return len(self._places) + len(self._combos)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if number >= len(self._places):
            return self._combos[number - len(self._places)]
        return self._traded[self._places[number]].tokens[self._outcomes[number]]


def _combos(seed: int) -> list[tuple[str, str]]:
    """(condition id, token id) of a few combos: structural ids of module 3."""
    rng = random.Random(f"combos-{seed}")
    conditions = [tokens.structural_id(3, rng.randbytes(32)) for _ in range(COMBOS)]
    return [(condition, tokens.position_id(condition, 0)) for condition in conditions]


def _tables(
    wallet_set: wallets.WalletSet,
    traded: Sequence[catalog.Market],
    venue: trading.Venue,
    combos: Sequence[tuple[str, str]],
    groups: Sequence[str],
) -> universe.Tables:
    """`groups`: ids of negative-risk markets that stand on rows in the place of a condition."""
    places, outcomes = np.nonzero(venue.tokens >= 0)
    combo_numbers = np.arange(len(combos)) + len(traded)
    return universe.Tables(
        wallets=wallet_set.addresses,
        conditions=[*(m.condition_id for m in traded), *(c for c, _ in combos), *groups],
        tokens=_Tokens(traded, places.tolist(), outcomes.tolist(), [token for _, token in combos]),
        token_condition=np.concatenate((places, combo_numbers)).astype(np.int32),
        token_outcome=np.concatenate((outcomes, np.full(len(combos), -1))).astype(np.int32),
    )


class _Displays:
    """The texts shown beside rows, made for the numbers that occur."""

    def __init__(
        self,
        draft: markets.CatalogDraft,
        traded: Sequence[catalog.Market],
        tables: universe.Tables,
        layout: _Layout,
    ) -> None:
        self._event_slugs = {event.id: event.slug for event in draft.events}
        self._traded = traded
        self._tables = tables
        self._layout = layout

    def render(self, numbers: Sequence[int]) -> list[row_renderer.Display]:
        """The texts of these display numbers, in their order."""
        return [self._one(number) for number in numbers]

    def _one(self, number: int) -> row_renderer.Display:
        layout = self._layout
        if number >= layout.short:
            return self._of_token(number - layout.short, "short")
        if number >= layout.fresh:
            return self._of_token(number - layout.fresh, "fresh")
        if number == layout.blank:
            return row_renderer.Display()
        if number < layout.tokenless:
            return self._of_token(number, "normal")
        place = number - layout.tokenless
        if place >= len(self._traded):
            title = "Combo of 3 legs" if place < len(self._traded) + COMBOS else ""
            return row_renderer.Display(self._tables.conditions[place], "", title)
        m = self._traded[place]
        return row_renderer.Display(m.condition_id, "", m.question, m.slug, m.icon, self._slug(m))

    def _of_token(self, token: int, form: str) -> row_renderer.Display:
        text = self._tables.tokens[token]
        place = int(self._tables.token_condition[token])
        if place >= len(self._traded):
            condition = self._tables.conditions[place]
            return row_renderer.Display(condition, text, "Combo of 3 legs", outcome="Yes")
        market = self._traded[place]
        outcome = int(self._tables.token_outcome[token])
        if form == "fresh":
            return _display(market, market.condition_id, text, outcome, "", known=False)
        condition = market.condition_id[:64] if form == "short" else market.condition_id
        return _display(market, condition, text, outcome, self._slug(market))

    def _slug(self, market: catalog.Market) -> str:
        return self._event_slugs[market.event_ids[0]] if market.event_ids else ""


def _display(
    market: catalog.Market,
    condition: str,
    token: str,
    outcome: int,
    event_slug: str,
    *,
    known: bool = True,
) -> row_renderer.Display:
    return row_renderer.Display(
        condition_id=condition,
        token_id=token,
        title=market.question,
        slug=market.slug,
        icon=market.icon,
        event_slug=event_slug,
        outcome=market.outcomes[outcome],
        outcome_index=outcome if known else row_renderer.UNKNOWN_OUTCOME,
    )


@dataclass(frozen=True, repr=False)
class _RowBlocks:
    """All rows in unsorted blocks, how many transactions they use, and what these moved unsaid."""

    blocks: list[trading.Columns]
    transactions: int
    effects: dict[int, universe.Effect]
    transfers: list[universe.Transfer]


def _draw_rows(context: _BuildContext, trades: int) -> _RowBlocks:
    rng, wallet_set, venue, now = context.rng, context.wallet_set, context.venue, context.draft.now
    place_of = {market.id: place for place, market in enumerate(context.traded)}
    named = {name: place_of[i] for name, i in context.draft.special.items() if i in place_of}
    fill_writer = trading.FillWriter(venue, first_tx=0)
    edge_case_fills.write_fills(fill_writer, rng, wallet_set, named, now)
    drawn, drawn_txs = trading.random_fills(
        rng, venue, wallet_set, max(trades - len(fill_writer), 0)
    )
    fills = _joined(fill_writer.columns(), {**drawn, "tx": drawn["tx"] + fill_writer.txs})
    writer = position_events.EventWriter(
        first_tx=fill_writer.txs + drawn_txs,
        tokenless=context.layout.tokenless,
        blank=context.layout.blank,
    )
    settlement = _settlement(context.draft, context.traded, place_of)
    position_events.write_events(
        writer,
        rng,
        _balances(fills),
        venue=venue,
        settlement=settlement,
        wallet_set=wallet_set,
        now=now,
    )
    position_events.write_credits(writer, rng, wallet_set, max(200, trades // 50), now)
    numbered = enumerate(context.tables.token_condition.tolist())
    combos = [(place, token) for token, place in numbered if place >= len(context.traded)]
    position_events.write_combos(
        writer, rng, wallet_set, combos, count=max(40, trades // 5_000), now=now
    )
    transfers = _money_rows(context, writer, place_of) if context.money else []
    blocks = [fills, writer.columns()]
    subjects = np.array([market.fee_subject for market in context.traded])
    for block in blocks:
        fees.fill_in(block, subjects)
    return _RowBlocks(blocks, writer.first_tx + writer.txs, writer.effects, transfers)


def _money_rows(
    context: _BuildContext, writer: position_events.EventWriter, place_of: dict[int, int]
) -> list[universe.Transfer]:
    """The rows of the money cases; returns the transfers that no row shows."""
    case_writer = money_rows.CaseWriter(
        writer=writer,
        wallet_set=context.wallet_set,
        venue=context.venue,
        traded=context.traded,
        place_of=place_of,
        groups={text: place for place, text in enumerate(context.tables.conditions)},
        now=context.draft.now,
        seed=context.seed,
    )
    if context.money is not None:
        money_rows.write_cases(case_writer, context.money)
    return case_writer.transfers


def _joined(*blocks: trading.Columns) -> trading.Columns:
    return {name: np.concatenate([b[name] for b in blocks]) for name in rows.COLUMN_TYPES}


def _balances(fills: trading.Columns) -> holdings.Balances:
    """What the listed fills leave: dust is in no feed, so it is nobody's to split or redeem."""
    listed = fills["micro"] >= rows.DUST_MICRO
    fills = {name: column[listed] for name, column in fills.items()}
    return holdings.from_trades(
        wallet=fills["wallet"],
        token=fills["token"],
        ts=fills["ts"],
        buying=fills["side"] == rows.BUY,
        micro=fills["micro"],
        price=fills["price"],
    )


def _settlement(
    draft: markets.CatalogDraft, traded: Sequence[catalog.Market], place_of: dict[int, int]
) -> position_events.Settlement:
    payouts = np.full((len(traded), WIDEST), -1, dtype=np.int64)
    since = np.zeros(len(traded), dtype=np.int64)
    for place, market in enumerate(traded):
        if market.payouts:
            payouts[place, : len(market.payouts)] = market.payouts
            since[place] = market.closed_at
    rivals = [[place_of[number] for number in group] for group in draft.neg_risk_groups]
    return position_events.Settlement(payouts=payouts, since=since, rivals=rivals)


def _mark_variants(context: _BuildContext, columns: rows.Rows) -> None:
    """Rows that show less than they could: fresh ones without an outcome index, and structural
    condition ids that leak in their 62-digit form."""
    rng, layout, is_trade = context.rng, context.layout, columns.is_trade
    is_new = columns.ts > context.draft.now - FRESH_S
    fresh = is_trade & (is_new | (rng.random(len(columns)) < 0.004))
    columns.display[fresh] = columns.token[fresh] + layout.fresh
    structural = [place for place, market in enumerate(context.traded) if market.version == "v2"]
    leaking = is_trade & np.isin(columns.condition, structural)
    leaking &= rng.random(len(columns)) < 0.5
    columns.display[leaking] = columns.token[leaking] + layout.short


def _mark_late(rng: np.random.Generator, columns: rows.Rows, count: int) -> None:
    """Some of the newest trades are not visible at once; a transaction may be half there."""
    if count:
        newest = np.flatnonzero(columns.is_trade & columns.listed)[-10 * count :]
        columns.late[rng.permutation(newest)[:count]] = True


def _special_names(wallet_set: wallets.WalletSet, draft: markets.CatalogDraft) -> dict[str, str]:
    """Addresses of the special wallets; condition ids of the markets, or slugs without one."""
    by_id = {market.id: market for market in draft.markets}
    named = {name: wallet_set.addresses[number] for name, number in wallet_set.special.items()}
    for name, number in draft.special.items():
        market = by_id[number]
        named[name] = market.condition_id or market.slug
    named["contract_ctf_exchange"], named["contract_neg_risk_exchange"] = wallets.CONTRACTS
    named["slug_unlisted"] = by_id[draft.special["market_unlisted"]].slug
    return named
