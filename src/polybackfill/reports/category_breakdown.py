"""`wallet_category_breakdown.json`: every wallet's profit by category, with a sentence each.

All its figures are held to resolution, before fees; the sentence ends with the economic profit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson

from polybackfill.filesystem import files
from polybackfill.store import client, query_files, taxonomy

FILE = "wallet_category_breakdown.json"
CAREFUL_BELOW_PCT = 10  # seed 004, contract 3: warn below 10

Side = Literal["YES", "NO", "MIXED"]
Category = dict[str, Any]
Wallet = dict[str, Any]

_ROWS = query_files.read("category_breakdown")

_POSSIBLE_SOURCES = query_files.read("sources_of_trades")

_COUNTS = """
SELECT
    (SELECT countIf(num_markets > 0) FROM wallet_pnl) AS num_wallets,
    (SELECT countIf(category != {none:String}) FROM markets_dim) AS markets_with_category,
    (SELECT sum(num_fills) FROM wallet_category_pnl) AS fills,
    (SELECT sum(num_fills_with_fee) FROM wallet_category_pnl) AS fills_with_fee
"""


async def write(
    store: client.Store, folder: Path, *, generated_at: str, delivered_by: Sequence[str]
) -> dict[str, Any]:
    """Write the file from `wallet_category_pnl` as it is; its metadata and counts by band.
    `delivered_by`: the sources of the trades.

    Streamed both ways, so a million wallets need no memory. Raises errors.Stop when the disk
    refuses; the file is the old one or the new one.
    """
    (counts,) = await store.rows(_COUNTS, parameters={"none": taxonomy.UNCATEGORIZED})
    metadata = {
        "generated_at": generated_at,
        "num_wallets": counts["num_wallets"],
        "markets_with_category": counts["markets_with_category"],
        "data_source": ", ".join(delivered_by) or None,
        "basis": "trades, held to resolution, resolved markets only; fees apart",
        "fees_known_pct": _known_pct(counts["fills_with_fee"], counts["fills"]),
    }
    bands = dict.fromkeys(("high", "medium", "low", "none"), 0)
    path = folder / FILE
    with files.stopping("write", path), files.writing_atomic(path) as file:
        file.write(b'{"metadata":' + orjson.dumps(metadata) + b',\n"wallets":[')
        between = b"\n"
        async for rows in _by_wallet(store):
            bands[rows[0]["band"]] += 1
            file.write(between + orjson.dumps(wallet(rows)))
            between = b",\n"
        file.write(b"\n]}\n")
    return {**metadata, "bands": bands}


async def sources(store: client.Store) -> list[str]:
    """Who delivered the trades that profits are made of, in order."""
    (possible,) = await store.rows(_POSSIBLE_SOURCES)
    rows = await store.rows(
        "SELECT DISTINCT source FROM trades_for_pnl LIMIT {possible:UInt64}", parameters=possible
    )
    return sorted(str(row["source"]) for row in rows)


async def _by_wallet(store: client.Store) -> AsyncIterator[list[dict[str, Any]]]:
    rows_of_wallet: list[dict[str, Any]] = []
    rest = b""
    async for piece in store.stream(_ROWS, "JSONEachRow"):
        *complete, rest = (rest + piece).split(b"\n")
        for line in complete:
            row = orjson.loads(line)
            if rows_of_wallet and row["wallet_address"] != rows_of_wallet[0]["wallet_address"]:
                yield rows_of_wallet
                rows_of_wallet = []
            rows_of_wallet.append(row)
    if rows_of_wallet:
        yield rows_of_wallet


def wallet(rows: Sequence[dict[str, Any]]) -> Wallet:
    """One entry of the file from all rows of a wallet, best category first."""
    first = rows[0]
    overall = {
        "realized_pnl_usd": first["wallet_pnl_usd"],
        "coverage_pct": _shown_pct(first["coverage_pct"]),
        "coverage_band": first["band"],
        "rank": first["rank"] or None,
        "num_resolved_markets": first["wallet_resolved_markets"],
        "num_markets": first["wallet_markets"],
        "fees_usd": first["wallet_fees_usd"],
        "fees_known_pct": _known_pct(first["wallet_fills_with_fee"], first["wallet_fills"]),
    }
    address = f"0x{first['wallet_address']}"
    by_category = [_category(row) for row in rows]
    return {
        "address": address,
        "overall_stats": overall,
        "by_category": by_category,
        "summary_text": " ".join(
            [
                summary(address, overall, by_category),
                economic(first, is_beside=overall["coverage_band"] != "none"),
            ]
        ),
    }


def _category(row: dict[str, Any]) -> Category:
    resolved, yes, no = row["num_resolved_markets"], row["yes_count"], row["no_count"]
    dated = row["dated_markets"] > 0
    return {
        "category": row["category"],
        "realized_pnl_usd": row["realized_pnl_usd"],
        "coverage_pct": _shown_pct(100 * resolved / row["num_markets"]),
        "num_markets": row["num_markets"],
        "num_resolved_markets": resolved,
        "num_winning_markets": row["num_winning_markets"],
        "num_losing_markets": row["num_losing_markets"],
        "win_rate": round(row["num_winning_markets"] / resolved, 6) if resolved else None,
        "avg_pnl_per_market": round(row["realized_pnl_usd"] / resolved, 6) if resolved else None,
        "total_position_size_usd": row["total_position_size_usd"],
        "fees_usd": row["fees_usd"],
        "fees_known_pct": _known_pct(row["num_fills_with_fee"], row["num_fills"]),
        "predominant_side": predominant(yes, no),
        "yes_count": yes,
        "no_count": no,
        "early_entries": row["early_entries"] if dated else None,
        "late_entries": row["late_entries"] if dated else None,
    }


def predominant(yes: int, no: int) -> Side:
    """YES or NO where one count exceeds twice the other, else MIXED (seed 004)."""
    if yes > 2 * no:
        return "YES"
    return "NO" if no > 2 * yes else "MIXED"


def summary(address: str, overall: dict[str, Any], by_category: Sequence[Category]) -> str:
    """The wallet held to resolution in a sentence or two; no figure without its coverage.

    The categories named are the two that weigh most in the direction of the whole: the largest
    profits of a profit, the largest losses of a loss. The side is that of those categories.
    """
    short = f"Wallet {address[:6]}…{address[-4:]}"
    coverage = f"{overall['coverage_pct']:g}% coverage"
    if not overall["num_resolved_markets"]:
        return f"{short} has no resolved market and {coverage}."
    if overall["coverage_band"] == "none":
        return f"{short} has {coverage}, too little to show a profit or a loss."
    pnl = overall["realized_pnl_usd"]
    word = "loss" if pnl < 0 else "profit"
    text = f"{short} has ${abs(pnl):,.0f} realized {word} with {coverage}."
    if overall["coverage_pct"] < CAREFUL_BELOW_PCT:
        text = f"{text[:-1]}, which is little."
    return " ".join([text, *_where(pnl, by_category)])


def economic(row: dict[str, Any], *, is_beside: bool) -> str:
    """The sentence of the economic profit, or of why it is unknown.

    `is_beside`: another figure stands before it, which is named.
    """
    begin = "That is held to resolution, before fees; the" if is_beside else "The"
    pnl = row["economic_pnl_usd"]
    if pnl is None:
        return f"{begin} economic profit is unknown: {', '.join(row['inexact_reasons'])}."
    word = "loss" if pnl < 0 else "profit"
    return f"{begin} economic {word}, after fees, is ${abs(pnl):,.0f}."


def _where(pnl: float, by_category: Sequence[Category]) -> Iterator[str]:
    """The second sentence; none where nothing was won or lost."""
    sign = -1 if pnl < 0 else 1
    weighing = [one for one in by_category if sign * one["realized_pnl_usd"] > 0]
    weighing.sort(key=lambda one: (-sign * one["realized_pnl_usd"], one["category"]))
    named = weighing[:2]
    if pnl == 0 or not named:
        return
    yes, no = (sum(one[name] for one in named) for name in ("yes_count", "no_count"))
    side = predominant(yes, no)
    sides = "on both sides" if side == "MIXED" else f"mostly on the {side} side"
    where = " and ".join(one["category"] for one in named)
    suffix = f", {sides}" if yes or no else ""
    yield f"Most of that is in {where}{suffix}."


def _shown_pct(percent: float) -> float:
    """Two decimals, cut off: 99.999 is not 100, and 1.999 not 2."""
    return math.floor(percent * 100 + 1e-9) / 100


def _known_pct(known: int, fills: int) -> float | None:
    """Of how many fills the fee is known; None where there are no fills."""
    return _shown_pct(100 * known / fills) if fills else None


def samples(path: Path, count: int) -> list[str]:
    """The sentences of the first wallets of a file that was just written."""
    with path.open("rb") as file:
        lines = itertools.islice(file, 2, 2 + count)
        texts = [line.strip().removesuffix(b",") for line in lines]
    return [orjson.loads(text)["summary_text"] for text in texts if text.startswith(b'{"address"')]
