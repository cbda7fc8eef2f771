"""The universe as NDJSON, for a test that computes something by itself and compares.

Ledger, one row of a feed per line: `wallet`, `type`, `condition_id` (64-digit form), `token_id`,
`outcome_index` (null unknown), `side`, `micro` (shares in millionths, exact), `shares`, `price`
(USD a share), `usd` (shares x price, six decimals, fees apart), `fee` (USD paid on top or kept
back), `timestamp` (epoch seconds), `tx`, `taker` (this side of the fill pays the fee), `combo`.

Markets, one per line: `condition_id` ("" for none), `market_id`, `slug`, `question`, `event_id`,
`event_slug` (null without event), `tags` (labels of the market's own and its events' tags),
`own_tags` (labels Gamma shows on the market itself), `outcomes`, `token_ids`, `payouts`
(micro-USDC a share as `/v2/resolutions` means them, empty while unresolved), `gamma_payouts` and
`clob_payouts` (what those lists show), `closed`, `closed_at`, `start`, `end` (epoch seconds, 0 for
none), `neg_risk`, `neg_risk_market_id`, `resolution_status` (what `/v2/resolutions` says instead
of the truth, "" for no row, null where it is the truth), `version`, `volume` (shares, each fill
once), `listed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from polymarket_sandbox import catalog, rows, universe

ROWS_A_CHUNK = 5_000


def chosen_rows(
    world: universe.Universe, wallet: int | None, *, trades_only: bool
) -> rows.SmallInts:
    """Listed rows in time order: of one wallet (-1 has none) or of all, contracts included."""
    table = world.table
    keep = table.listed
    if wallet is not None:
        keep = keep & (table.wallet == wallet)
    if trades_only:
        keep = keep & table.is_trade
    return np.flatnonzero(keep).astype(np.int32)


def ledger(world: universe.Universe, chosen: rows.SmallInts) -> Iterator[bytes]:
    """The rows as lines, some thousand a chunk."""
    for start in range(0, len(chosen), ROWS_A_CHUNK):
        part = chosen[start : start + ROWS_A_CHUNK].tolist()
        yield b"".join(orjson.dumps(_row(world, number)) + b"\n" for number in part)


def _row(world: universe.Universe, number: int) -> dict[str, object]:
    table, tables = world.table, world.tables
    condition, token = int(table.condition[number]), int(table.token[number])
    outcome = int(tables.token_outcome[token]) if token >= 0 else -1
    shares, price = int(table.micro[number]) / 1e6, float(table.price[number])
    is_trade = table.kind[number] == rows.TRADE
    usd = round(shares * price, 6) if is_trade else float(table.usdc[number])
    return {
        "wallet": tables.wallets[int(table.wallet[number])],
        "type": rows.KINDS[int(table.kind[number])],
        "condition_id": tables.conditions[condition] if condition >= 0 else "",
        "token_id": tables.tokens[token] if token >= 0 else "",
        "outcome_index": outcome if outcome >= 0 else None,
        "side": rows.SIDES[int(table.side[number])],
        "micro": int(table.micro[number]),
        "shares": shares,
        "price": price,
        "usd": usd,
        "fee": round(abs(float(table.usdc[number]) - usd), 6),
        "timestamp": int(table.ts[number]),
        "tx": "0x" + world.renderer.transaction(int(table.tx[number])).decode(),
        "taker": bool(table.taker[number]),
        "combo": bool(table.combo[number]),
    }


def markets(lists: catalog.Catalog) -> Iterator[bytes]:
    """The markets as lines, some thousand a chunk."""
    for start in range(0, len(lists.markets), ROWS_A_CHUNK):
        part = lists.markets[start : start + ROWS_A_CHUNK]
        yield b"".join(orjson.dumps(_market(lists, market)) + b"\n" for market in part)


def _market(lists: catalog.Catalog, market: catalog.Market) -> dict[str, object]:
    event = lists.event_of(market)
    return {
        "condition_id": market.condition_id,
        "market_id": str(market.id),
        "slug": market.slug,
        "question": market.question,
        "event_id": str(event.id) if event else None,
        "event_slug": event.slug if event else None,
        "tags": _labels(lists, lists.tags_of(market)),
        "own_tags": _labels(lists, market.tags),
        "outcomes": market.outcomes,
        "token_ids": market.tokens,
        "payouts": market.payouts,
        "gamma_payouts": market.gamma_payouts,
        "clob_payouts": market.clob_payouts,
        "closed": market.closed,
        "closed_at": market.closed_at,
        "start": market.start,
        "end": market.end,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": market.neg_risk_market_id,
        "resolution_status": market.resolution_status,
        "version": market.version,
        "volume": market.volume,
        "listed": market.listed,
    }


def _labels(lists: catalog.Catalog, numbers: Sequence[int]) -> list[str]:
    return [lists.index.tag_by_id[number].label for number in numbers]
