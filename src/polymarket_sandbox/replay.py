"""A universe of recorded rows, served through the version 2 routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from polymarket_sandbox import (
    options,
    recorded,
    recorded_ends,
    recorded_lists,
    row_renderer,
    rows,
    tokens,
    universe,
    v2_query,
    wallets,
)

Row = recorded.Row


@dataclass
class _Numbers:
    """Texts in the order they were first met, each with its number."""

    known: dict[object, int] = field(default_factory=dict)

    def number_of(self, key: object) -> int:
        return self.known.setdefault(key, len(self.known))


@dataclass
class _TableBuilder:
    """All tables in the making."""

    wallets: _Numbers = field(default_factory=_Numbers)
    profiles: _Numbers = field(default_factory=_Numbers)
    conditions: _Numbers = field(default_factory=_Numbers)
    tokens: _Numbers = field(default_factory=_Numbers)
    displays: _Numbers = field(default_factory=_Numbers)
    transactions: _Numbers = field(default_factory=_Numbers)
    token_condition: list[int] = field(default_factory=list)
    token_outcome: list[int] = field(default_factory=list)
    profile_of: dict[int, row_renderer.Profile] = field(default_factory=dict)


def build(folder: Path) -> universe.Universe:
    """The recorded universe; its present is a few seconds after the newest row. Raises
    OptionsError."""
    if not folder.is_dir():
        raise options.OptionsError(f"replay folder {folder} does not exist")
    return _build(folder.resolve())


@lru_cache(maxsize=1)
def _build(folder: Path) -> universe.Universe:
    found = recorded.feed_rows(folder)
    builder = _TableBuilder()
    columns = rows.assemble([_columns(found, builder)])
    held = {_position(row, builder): row for row in recorded_ends.positions(folder)}
    ends = recorded_ends.payouts(folder)
    tables = universe.Tables(
        wallets=[str(wallet) for wallet in builder.wallets.known],
        conditions=[str(condition) for condition in builder.conditions.known],
        tokens=[str(token) for token in builder.tokens.known],
        token_condition=np.array(builder.token_condition, dtype=np.int32),
        token_outcome=np.array(builder.token_outcome, dtype=np.int32),
    )
    tx_hex = "".join(str(tx)[2:] for tx in builder.transactions.known).encode()
    profiles = [p for p in builder.profiles.known if isinstance(p, row_renderer.Profile)]
    displays = [d for d in builder.displays.known if isinstance(d, row_renderer.Display)]
    contracts = {builder.wallets.known.get(address, -1) for address in wallets.CONTRACTS}
    return universe.Universe(
        now=int(columns.ts[-1]) + 5,
        table=columns,
        tables=tables,
        profiles=[builder.profile_of[number] for number in range(len(tables.wallets))],
        renderer=row_renderer.Renderer(columns, profiles, displays, tx_hex),
        lists=recorded_lists.read(folder),
        special={"transaction_twins": recorded.TWIN_TX},
        contracts=frozenset(contracts - {-1}),
        settled={
            builder.conditions.known[c]: ends[c] for c in ends if c in builder.conditions.known
        },
        recorded_positions=held,
    )


def _columns(found: Sequence[Row], builder: _TableBuilder) -> dict[str, np.ndarray]:
    values: dict[str, list[float]] = {name: [] for name in rows.COLUMN_TYPES}
    for row in found:
        for name, value in _numbered(row, builder).items():
            values[name].append(value)
    return {name: np.array(values[name]).astype(kind) for name, kind in rows.COLUMN_TYPES.items()}


def _numbered(row: Row, builder: _TableBuilder) -> dict[str, float]:
    """One row as numbers; enters its texts into the books."""
    profile, display = _profile(row), _display(row)
    wallet = builder.wallets.number_of(profile.wallet)
    builder.profile_of[wallet] = profile
    condition = v2_query.normal_condition(display.condition_id) if display.condition_id else ""
    condition_number = builder.conditions.number_of(condition) if condition else -1
    price = float(str(row["price"]))
    size = recorded.micro(row)
    return {
        "ts": int(str(row["timestamp"])),
        "kind": rows.KIND[str(row["type"])],
        "side": rows.SIDES.index(str(row["side"])),
        "wallet": wallet,
        "profile": builder.profiles.number_of(profile),
        "condition": condition_number,
        "token": _token(display, condition_number, builder),
        "display": builder.displays.number_of(display),
        "micro": size,
        "price": price,
        "usdc": float(str(row.get("usdc_size", round(size / 1e6 * price, 6)))),
        "tx": builder.transactions.number_of(str(row["transaction_hash"]).lower()),
        "taker": bool(row.get("taker", True)),
        "combo": bool(row.get("is_combo", False)),
    }


def _position(row: Row, builder: _TableBuilder) -> tuple[int, int]:
    """Wallet and token number of a recorded position; enters its ids into the books."""
    profile = _profile(row)
    wallet = builder.wallets.number_of(profile.wallet)
    builder.profile_of.setdefault(wallet, profile)
    display = _display(row)
    condition = builder.conditions.number_of(v2_query.normal_condition(display.condition_id))
    return wallet, _token(display, condition, builder)


def _token(display: row_renderer.Display, condition: int, builder: _TableBuilder) -> int:
    if not display.token_id:
        return -1
    number = builder.tokens.number_of(display.token_id)
    if number == len(builder.token_condition):
        builder.token_condition.append(condition)
        builder.token_outcome.append(_outcome(display))
    return number


def _outcome(display: row_renderer.Display) -> int:
    """Outcome index of a token, worked out from the condition where the row does not say."""
    if display.outcome_index != row_renderer.UNKNOWN_OUTCOME:
        return display.outcome_index
    for outcome in (0, 1):
        for neg_risk in (False, True):
            derived = tokens.token_id(display.condition_id, outcome, neg_risk=neg_risk)
            if derived == display.token_id:
                return outcome
    return -1


def _profile(row: Row) -> row_renderer.Profile:
    return row_renderer.Profile(
        wallet=str(row["proxy_wallet"]).lower(),
        name=str(row.get("name", "")),
        pseudonym=str(row.get("pseudonym", "")),
        bio=str(row.get("bio", "")),
        profile_image=str(row.get("profile_image", "")),
        profile_image_optimized=str(row.get("profile_image_optimized", "")),
    )


def _display(row: Row) -> row_renderer.Display:
    return row_renderer.Display(
        condition_id=str(row["condition_id"]).lower(),
        token_id=str(row["token_id"]),
        title=str(row.get("title", "")),
        slug=str(row.get("slug", "")),
        icon=str(row.get("icon", "")),
        event_slug=str(row.get("event_slug", "")),
        outcome=str(row.get("outcome", "")),
        outcome_index=int(str(row["outcome_index"])),
    )
