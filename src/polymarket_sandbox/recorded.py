"""Recorded answers of the live services, read as Data API v2 rows.

Version 1 rows are translated; what offset paging repeated while the list grew is dropped; the same
fill in several recordings counts once, and a fill that truly happened twice counts twice.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import orjson

from polymarket_sandbox import options, tokens

Row = dict[str, object]

# The offset pages of the recorded version 1 walks.
RECORDED_PAGE = 500

_V1_NAMES = {
    "proxyWallet": "proxy_wallet",
    "conditionId": "condition_id",
    "usdcSize": "usdc_size",
    "transactionHash": "transaction_hash",
    "asset": "token_id",
    "outcomeIndex": "outcome_index",
    "eventSlug": "event_slug",
    "profileImage": "profile_image",
    "profileImageOptimized": "profile_image_optimized",
}
# The one recorded proof of two equal fills in a transaction; only the chain's log of it was kept.
TWIN_TX = "0xc12bff78413d75398bafabdaa5f69b37065579bc6e30fa43c5bf00e5c25eba9b"
_TWIN_ROLE = "maker"


def feed_rows(folder: Path, *, with_empty: bool = False) -> list[Row]:
    """All recorded activity and trade rows, oldest first, each real one once; redemptions of size 0
    only `with_empty`. Raises OptionsError when the folder holds none."""
    sources = [list(source) for source in _sources(folder)]
    kept: dict[tuple[object, ...], list[Row]] = {}
    for source in sources:
        grouped: dict[tuple[object, ...], list[Row]] = {}
        for row in source:
            if with_empty or not _is_dropped(row):
                grouped.setdefault(identity(row), []).append(row)
        for key, rows in grouped.items():
            if len(rows) > len(kept.get(key, ())):
                kept[key] = rows
    if not kept:
        raise options.OptionsError(f"replay folder {folder} holds no recorded rows")
    # Recordings stand newest first; their reverse breaks ties of time the way the feed does.
    flat = [row for rows in reversed(kept.values()) for row in rows]
    return sorted(flat, key=lambda row: int(str(row["timestamp"])))


def identity(row: Row) -> tuple[object, ...]:
    """What makes two recorded rows the same event; price and texts change between fetches."""
    place = row["token_id"] or (row["condition_id"], row["outcome_index"])
    names = ("type", "transaction_hash", "proxy_wallet", "side", "timestamp")
    return (place, micro(row), *(row[name] for name in names))


def micro(row: Row) -> int:
    """Size in millionths of a share; recorded floats carry noise far below that."""
    return round(float(str(row["size"])) * 1e6)


def _is_dropped(row: Row) -> bool:
    """Version 2 does not list redemptions of size 0."""
    return row["type"] == "REDEEM" and micro(row) == 0


def _sources(folder: Path) -> Iterator[Sequence[Row]]:
    """One list per recorded answer, version 2 first: its texts win where both exist."""
    for path in sorted(folder.glob("data-v2-*.json")):
        yield from _v2_answers(read(path))
    for path in sorted(folder.glob("data-v1-activity-*")):
        for rows in _v1_answers(path):
            yield [_translated(row) for row in rows]
    for path in [*sorted(folder.glob("data-v1-trades-*")), *sorted(folder.glob("mixed-*.json"))]:
        held = read(path)
        listed = held.get("trades", held.get("response", [])) if isinstance(held, dict) else held
        yield [_translated(row) for row in cast(list[Row], listed)]
    for path in sorted(folder.glob("onchain-orderfilled-*.json")):
        yield _twin_rows(read(path))


def read(path: Path) -> object:
    """One JSON file, or the lines of a JSONL file, gzipped or not."""
    body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".jsonl" in path.name:
        return [orjson.loads(line) for line in body.splitlines() if line.strip()]
    return orjson.loads(body)


def _v2_answers(held: object) -> Iterator[list[Row]]:
    if not isinstance(held, dict):
        return
    if "data" in held:
        yield _with_takers(held["data"])
        return
    for name, answer in held.items():
        rows = answer.get("response", answer).get("data") if isinstance(answer, dict) else None
        if name.startswith(("trades", "activity")) and isinstance(rows, list):
            yield [{**row, "type": row.get("type", "TRADE")} for row in rows]


def _with_takers(rows: list[Row]) -> list[Row]:
    """Rows of whole transactions, the taker's first in each."""
    seen: set[object] = set()
    marked = []
    for row in rows:
        is_taker = row["transaction_hash"] not in seen
        seen.add(row["transaction_hash"])
        marked.append({**row, "type": "TRADE", "taker": is_taker})
    return marked


def _v1_answers(path: Path) -> Iterator[list[Row]]:
    held = read(path)
    if isinstance(held, dict):
        for answer in held["response"].values():
            yield answer["rows"]
    elif isinstance(held, list):
        yield without_page_repeats(held)


def without_page_repeats(rows: Sequence[Row]) -> list[Row]:
    """Drop the rows an offset page shows again because the list grew between two requests: those
    at the head of a page that equal, in order, the tail of the page before."""
    kept: list[Row] = []
    for start in range(0, len(rows), RECORDED_PAGE):
        page = rows[start : start + RECORDED_PAGE]
        before = rows[max(0, start - RECORDED_PAGE) : start]
        most = min(len(before), len(page))
        repeated = max((n for n in range(1, most + 1) if before[-n:] == page[:n]), default=0)
        kept += page[repeated:]
    return kept


def _translated(row: Row) -> Row:
    """A version 1 row under version 2 names."""
    renamed = {_V1_NAMES.get(name, name): value for name, value in row.items()}
    renamed.setdefault("type", "TRADE")
    return renamed


def _twin_rows(held: object) -> list[Row]:
    """The two API rows of the twin transaction, from its log entries.

    The log names the token but not the condition, and a token id cannot be turned back into one:
    the condition id here is a stand-in.
    """
    entry = held["response"].get(TWIN_TX) if isinstance(held, dict) else None
    if entry is None:
        return []
    rows: list[Row] = []
    for fill in entry["orderfilled_involving_bosona"]:
        token = fill["tokenId"]
        rows.append(
            {
                "proxy_wallet": fill["maker"],
                "timestamp": entry["block_timestamp"],
                "condition_id": "0x" + tokens.keccak256(f"stand-in {token}".encode()).hex(),
                "type": "TRADE",
                "size": fill["takerAmt"] / 1e6,
                "usdc_size": fill["makerAmt"] / 1e6,
                "transaction_hash": TWIN_TX,
                "price": fill["makerAmt"] / fill["takerAmt"],
                "token_id": token,
                "side": fill["side"],
                "outcome_index": 999,
                "taker": fill["bosona_role"] != _TWIN_ROLE,
            }
        )
    return rows
