"""A universe from a seed: people, markets, random fills, and the rows made on purpose."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from polybackfill.sandbox import (
    catalog,
    fragments,
    holdings,
    lifecycle,
    markets,
    options,
    people,
    purpose,
    rows,
    tokens,
    trading,
    universe,
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


@dataclass(frozen=True)
class _Ground:
    """All that stands before the first row is drawn."""

    rng: np.random.Generator
    crowd: people.People
    scene: markets.Scene
    traded: Sequence[catalog.Market]
    venue: trading.Venue
    tables: universe.Tables
    layout: _Layout


def build(asked: options.SandboxOptions) -> universe.Universe:
    """The universe of these options; equal options share one."""
    return _build(
        asked.seed,
        asked.started_at,
        markets_asked=asked.markets,
        wallets_asked=asked.wallets,
        trades=asked.trades,
        late_rows=asked.late_rows,
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
) -> universe.Universe:
    crowd = people.generate(seed=seed, count=wallets_asked, trades=trades)
    scene = markets.generate(now=now, seed=seed, count=markets_asked)
    traded = [market for market in scene.markets if market.condition_id]
    venue = _venue(scene, traded)
    tables = _tables(crowd, traded, venue, _combos(seed))
    displays, layout = _displays(scene, traded, tables)
    rng = np.random.default_rng(seed)
    ground = _Ground(rng, crowd, scene, traded, venue, tables, layout)
    parts, transactions = _parts(ground, trades)
    columns = rows.assemble(parts)
    _mark_variants(ground, columns)
    _mark_late(rng, columns, late_rows)
    volumes = universe.taker_volumes(columns, len(tables.conditions))
    for number, market in enumerate(traded):
        market.volume = float(volumes[number])
    tx_hex = rng.bytes(32 * transactions).hex().encode()
    return universe.Universe(
        now=now,
        table=columns,
        tables=tables,
        profiles=crowd.profiles,
        renderer=fragments.Renderer(columns, crowd.profiles, displays, tx_hex),
        lists=markets.finish(scene),
        special=_special_names(crowd, scene),
        contracts=frozenset(crowd.contracts),
    )


def _venue(scene: markets.Scene, traded: Sequence[catalog.Market]) -> trading.Venue:
    token_numbers = np.full((len(traded), WIDEST), -1, dtype=np.int32)
    number = 0
    for place, market in enumerate(traded):
        for outcome in range(len(market.outcomes)):
            token_numbers[place, outcome] = number
            number += 1
    windows = [scene.windows[market.id] for market in traded]
    apart = {scene.special[name] for name in purpose.APART_MARKETS}
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


def _combos(seed: int) -> list[tuple[str, str]]:
    """(condition id, token id) of a few combos: structural ids of module 3."""
    rng = random.Random(f"combos-{seed}")
    conditions = [tokens.structural_id(3, rng.randbytes(32)) for _ in range(COMBOS)]
    return [(condition, tokens.position_id(condition, 0)) for condition in conditions]


def _tables(
    crowd: people.People,
    traded: Sequence[catalog.Market],
    venue: trading.Venue,
    combos: Sequence[tuple[str, str]],
) -> universe.Tables:
    places, outcomes = np.nonzero(venue.tokens >= 0)
    combo_numbers = np.arange(len(combos)) + len(traded)
    return universe.Tables(
        wallets=crowd.addresses,
        conditions=[*(market.condition_id for market in traded), *(c for c, _ in combos)],
        tokens=[*(token for market in traded for token in market.tokens), *(t for _, t in combos)],
        token_condition=np.concatenate((places, combo_numbers)).astype(np.int32),
        token_outcome=np.concatenate((outcomes, np.full(len(combos), -1))).astype(np.int32),
    )


def _displays(
    scene: markets.Scene, traded: Sequence[catalog.Market], tables: universe.Tables
) -> tuple[list[fragments.Display], _Layout]:
    events = {event.id: event.slug for event in scene.events}
    slugs = [events[m.event_ids[0]] if m.event_ids else "" for m in traded]
    normal, fresh, short = [], [], []
    for token, place in zip(tables.tokens, tables.token_condition.tolist(), strict=True):
        if place >= len(traded):
            condition = tables.conditions[place]
            shown = fragments.Display(condition, token, "Combo of 3 legs", outcome="Yes")
            normal.append(shown)
            fresh.append(shown)
            short.append(shown)
            continue
        market = traded[place]
        outcome = market.tokens.index(token)
        normal.append(_display(market, market.condition_id, token, outcome, slugs[place]))
        fresh.append(_display(market, market.condition_id, token, outcome, "", known=False))
        leaked = market.condition_id[:64]
        short.append(_display(market, leaked, token, outcome, slugs[place]))
    tokenless = [
        fragments.Display(m.condition_id, "", m.question, m.slug, m.icon, slug)
        for m, slug in zip(traded, slugs, strict=True)
    ]
    tokenless += [
        fragments.Display(condition, "", "Combo of 3 legs")
        for condition in tables.conditions[len(traded) :]
    ]
    texts = [*normal, *tokenless, fragments.Display(), *fresh, *short]
    blank = len(normal) + len(tokenless)
    layout = _Layout(
        tokenless=len(normal), blank=blank, fresh=blank + 1, short=blank + 1 + len(fresh)
    )
    return texts, layout


def _display(
    market: catalog.Market,
    condition: str,
    token: str,
    outcome: int,
    event_slug: str,
    *,
    known: bool = True,
) -> fragments.Display:
    return fragments.Display(
        condition_id=condition,
        token_id=token,
        title=market.question,
        slug=market.slug,
        icon=market.icon,
        event_slug=event_slug,
        outcome=market.outcomes[outcome],
        outcome_index=outcome if known else fragments.UNKNOWN_OUTCOME,
    )


def _parts(ground: _Ground, trades: int) -> tuple[list[trading.Columns], int]:
    """All rows in unsorted blocks, and how many transactions they use."""
    rng, crowd, venue, now = ground.rng, ground.crowd, ground.venue, ground.scene.now
    place_of = {market.id: place for place, market in enumerate(ground.traded)}
    named = {name: place_of[i] for name, i in ground.scene.special.items() if i in place_of}
    ledger = trading.Ledger(venue, first_tx=0)
    purpose.write(ledger, rng, crowd, named, now)
    drawn, drawn_txs = trading.random_fills(rng, venue, crowd, max(trades - len(ledger), 0))
    fills = _joined(ledger.columns(), {**drawn, "tx": drawn["tx"] + ledger.txs})
    writer = lifecycle.Writer(
        first_tx=ledger.txs + drawn_txs,
        tokenless=ground.layout.tokenless,
        blank=ground.layout.blank,
    )
    settlement = _settlement(ground.scene, ground.traded, place_of)
    lifecycle.write(
        writer, rng, _balances(fills), venue=venue, settlement=settlement, crowd=crowd, now=now
    )
    lifecycle.write_credits(writer, rng, crowd, max(200, trades // 50), now)
    numbered = enumerate(ground.tables.token_condition.tolist())
    combos = [(place, token) for token, place in numbered if place >= len(ground.traded)]
    lifecycle.write_combos(writer, rng, crowd, combos, count=max(40, trades // 5_000), now=now)
    return [fills, writer.columns()], writer.first_tx + writer.txs


def _joined(*blocks: trading.Columns) -> trading.Columns:
    return {name: np.concatenate([b[name] for b in blocks]) for name in rows.COLUMN_TYPES}


def _balances(fills: trading.Columns) -> holdings.Balances:
    return holdings.from_trades(
        wallet=fills["wallet"],
        token=fills["token"],
        ts=fills["ts"],
        buying=fills["side"] == rows.BUY,
        micro=fills["micro"],
        price=fills["price"],
    )


def _settlement(
    scene: markets.Scene, traded: Sequence[catalog.Market], place_of: dict[int, int]
) -> lifecycle.Settlement:
    payouts = np.full((len(traded), WIDEST), -1, dtype=np.int64)
    since = np.zeros(len(traded), dtype=np.int64)
    for place, market in enumerate(traded):
        if market.payouts:
            payouts[place, : len(market.payouts)] = market.payouts
            since[place] = market.closed_at
    rivals = [[place_of[number] for number in group] for group in scene.neg_risk_groups]
    return lifecycle.Settlement(payouts=payouts, since=since, rivals=rivals)


def _mark_variants(ground: _Ground, columns: rows.Rows) -> None:
    """Rows that show less than they could: fresh ones without an outcome index, and structural
    condition ids that leak in their 62-digit form."""
    rng, layout, is_trade = ground.rng, ground.layout, columns.is_trade
    is_new = columns.ts > ground.scene.now - FRESH_S
    fresh = is_trade & (is_new | (rng.random(len(columns)) < 0.004))
    columns.display[fresh] = columns.token[fresh] + layout.fresh
    structural = [place for place, market in enumerate(ground.traded) if market.version == "v2"]
    leaking = is_trade & np.isin(columns.condition, structural)
    leaking &= rng.random(len(columns)) < 0.5
    columns.display[leaking] = columns.token[leaking] + layout.short


def _mark_late(rng: np.random.Generator, columns: rows.Rows, count: int) -> None:
    """Some of the newest trades are not visible at once; a transaction may be half there."""
    if count:
        newest = np.flatnonzero(columns.is_trade & columns.listed)[-10 * count :]
        columns.late[rng.permutation(newest)[:count]] = True


def _special_names(crowd: people.People, scene: markets.Scene) -> dict[str, str]:
    """Addresses of the special wallets; condition ids of the markets, or slugs without one."""
    by_id = {market.id: market for market in scene.markets}
    named = {name: crowd.addresses[number] for name, number in crowd.special.items()}
    for name, number in scene.special.items():
        market = by_id[number]
        named[name] = market.condition_id or market.slug
    named["contract_ctf_exchange"], named["contract_neg_risk_exchange"] = people.CONTRACTS
    named["slug_unlisted"] = by_id[scene.special["market_unlisted"]].slug
    return named
