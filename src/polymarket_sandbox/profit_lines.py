"""The books as NDJSON and as sums, for a program that computes them by itself and compares.

Per wallet: `wallet`, `exact`, `reasons`, `economic_pnl_usd` (null where not exact),
`held_to_resolution_pnl_usd`, `fees_usd`, `bought_usd`, `sold_usd` (size x price), `split_usd`,
`merged_usd`, `redeemed_usd`, `converted_usd`, `reward_usd`, `rebate_usd`, `yield_usd`, `value_usd`,
`markets` (traded), `resolved_markets`, `resolved_bought_usd`, `official_pnl_usd`.

Per wallet and market: `wallet`, `condition_id`, `resolved`, `economic_pnl_usd`,
`held_to_resolution_pnl_usd` (null while open), `fees_usd`, `bought_shares`, `sold_shares`,
`converted_shares` (No given up), the same USD, and `held`: `token_id`, `outcome_index`, `shares`,
`price`, `value_usd` of every token with a balance.

USD and shares have six decimals. Contracts are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from polymarket_sandbox import official, profit, rows, universe

LINES_A_CHUNK = 2_000


def total(
    world: universe.Universe, books: profit.Books, is_wallet: rows.Flags
) -> dict[str, object]:
    """The sums over some wallets, contracts left out."""
    counted = is_wallet & _has_rows(world)
    counted[list(world.contracts)] = False
    exact = counted.copy()
    exact[list(books.reasons)] = False
    return {
        "wallets": int(np.count_nonzero(counted)),
        "exact": int(np.count_nonzero(exact)),
        "economic_pnl_usd": _number(_economic(books)[exact].sum()),
        "held_to_resolution_pnl_usd": _number(
            books.by_wallet(books.held_to_resolution)[counted].sum()
        ),
        "fees_usd": _number(books.by_wallet(books.usd["fees"])[counted].sum()),
    }


def wallets(
    world: universe.Universe,
    books: profit.Books,
    official_api: official.Official,
    wallet: int | None,
) -> Iterator[bytes]:
    """One line per wallet with a row, of one wallet or of all."""
    economic = _economic(books)
    traded = (books.shares["bought"] > 0) | (books.shares["sold"] > 0)
    sums = {f"{name}_usd": books.by_wallet(books.usd[name]) for name in profit.MARKET_CASH}
    sums |= {f"{name}_usd": values for name, values in books.income.items()}
    sums["held_to_resolution_pnl_usd"] = books.by_wallet(books.held_to_resolution)
    sums["resolved_bought_usd"] = books.by_wallet(books.usd["bought"] * books.resolved)
    markets_traded = books.by_wallet(traded.astype(np.float64))
    resolved = books.by_wallet((traded & books.resolved).astype(np.float64))

    def line(number: int) -> dict[str, object]:
        reasons = books.reasons.get(number, ())
        return {
            "wallet": world.tables.wallets[number],
            "exact": not reasons,
            "reasons": reasons,
            "economic_pnl_usd": None if reasons else _number(economic[number]),
            **{name: _number(values[number]) for name, values in sums.items()},
            "markets": int(markets_traded[number]),
            "resolved_markets": int(resolved[number]),
            "official_pnl_usd": _number(economic[number] + official_api.changed.get(number, 0.0)),
        }

    known = _has_rows(world)
    known[list(world.contracts)] = False
    chosen = [n for n in np.flatnonzero(known).tolist() if wallet is None or n == wallet]
    for start in range(0, len(chosen), LINES_A_CHUNK):
        part = chosen[start : start + LINES_A_CHUNK]
        yield b"".join(orjson.dumps(line(number)) + b"\n" for number in part)


def markets(world: universe.Universe, books: profit.Books, wallet: int | None) -> Iterator[bytes]:
    """One line per wallet and market, of one wallet or of all."""
    chosen = ~np.isin(books.wallet, list(world.contracts))
    if wallet is not None:
        chosen &= books.wallet == wallet
    entries = np.flatnonzero(chosen)
    by_entry = np.argsort(books.held_entry, kind="stable")
    starts = np.searchsorted(books.held_entry[by_entry], np.arange(len(books.wallet) + 1))
    economic = books.economic
    for start in range(0, len(entries), LINES_A_CHUNK):
        lines = []
        for entry in entries[start : start + LINES_A_CHUNK].tolist():
            held = by_entry[starts[entry] : starts[entry + 1]].tolist()
            lines.append(
                {
                    **_market_line(world, books, entry),
                    "economic_pnl_usd": _number(economic[entry]),
                    "held": [
                        _held(world, books, place) for place in held if books.held_micro[place]
                    ],
                }
            )
        yield b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _market_line(world: universe.Universe, books: profit.Books, entry: int) -> dict[str, object]:
    resolved = bool(books.resolved[entry])
    return {
        "wallet": world.tables.wallets[int(books.wallet[entry])],
        "condition_id": world.tables.conditions[int(books.condition[entry])],
        "resolved": resolved,
        "held_to_resolution_pnl_usd": _number(books.held_to_resolution[entry])
        if resolved
        else None,
        **{f"{name}_usd": _number(values[entry]) for name, values in books.usd.items()},
        **{f"{name}_shares": _number(values[entry]) for name, values in books.shares.items()},
    }


def _held(world: universe.Universe, books: profit.Books, place: int) -> dict[str, object]:
    token, shares = int(books.held_token[place]), int(books.held_micro[place]) / 1e6
    price = float(books.prices[token])
    return {
        "token_id": world.tables.tokens[token],
        "outcome_index": int(world.tables.token_outcome[token]),
        "shares": shares,
        "price": price,
        "value_usd": _number(shares * price),
    }


def _economic(books: profit.Books) -> rows.Floats:
    """By wallet number, whatever is known of it."""
    total: rows.Floats = books.by_wallet(books.economic) + sum(books.income.values())
    return total


def _has_rows(world: universe.Universe) -> rows.Flags:
    return world.by_wallet.counts() > 0


def _number(value: float) -> float:
    return round(float(value), 6) + 0.0
