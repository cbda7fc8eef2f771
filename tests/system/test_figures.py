"""Figures of invented wallets, known to the cent, through the whole program."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests import harness, small_api
from tests.small_api import book_row, market, resolution, trade

BEGAN = int(time.time()) - 30 * small_api.DAY_S
MARKETS_BEGAN = BEGAN - small_api.DAY_S
SHARES = 1000.0


def gamma(
    number: int, name: str, prices: list[str], *, closed: bool = True, status: str | None = None
) -> small_api.Row:
    """A market of Gamma's list with a status of its own."""
    row = market(number, name, prices, closed=closed, start=MARKETS_BEGAN)
    return {**row, "umaResolutionStatus": status}


def test_payouts_come_from_what_is_resolved(tmp_path: Path) -> None:
    """A wallet for each market bought 1,000 shares at 0.40, the chain decided; the resolutions know
    two of the markets, and only by their status."""
    bought = {  # market: outcome, price, profit (None: not counted)
        "nearone": (0, 0.40, 600),
        "amm": (1, 0.40, 600),
        "stale": (0, 0.40, 600),
        "disputed": (0, 0.40, -400),
        "flipped": (0, 0.40, -400),
        "tie": (0, 0.40, 100),
        "plain": (0, 0.40, 600),
        "disputed-still": (0, 0.40, None),
        "thin": (0, 0.9997, 0.3),
    }
    api = small_api.SmallApi(
        activity=[
            trade(name, name, outcome, "BUY", SHARES, price, BEGAN)
            for name, (outcome, price, _) in bought.items()
        ],
        markets=[
            gamma(101, "nearone", ["0.9995", "0.0005"], status="resolved"),
            gamma(102, "amm", ["0", "0.999999"]),
            gamma(103, "stale", ["0.62", "0.38"], closed=False),
            gamma(104, "disputed", ["0.97", "0.03"], status="disputed"),
            gamma(106, "tie", ["0.5", "0.5"], status="resolved"),
            gamma(107, "plain", ["1", "0"], status="resolved"),
            gamma(109, "disputed-still", ["0.97", "0.03"], status="disputed"),
            gamma(110, "thin", ["0.9995", "0.0005"], status="resolved"),
        ],
        book=[
            *(book_row(name, 0, closed=True) for name in ("nearone", "stale", "plain", "thin")),
            *(book_row(name, 1, closed=True) for name in ("disputed", "disputed-still")),
            book_row("flipped", 1, closed=True, order=(1, 0)),
            book_row("tie", None, closed=True),
        ],
        resolutions=[
            resolution("disputed-still", None, "disputed"),
            {**resolution("thin", None, "resolved"), "resolved_at": None},
        ],
    )
    with small_api.serving(api), harness.ground(tmp_path, api.url, reports="true") as ground:
        ground.run("run").expect(0)
        assert profits(ground, bought) == {name: profit for name, (_, _, profit) in bought.items()}
        listed = ground.sql("SELECT condition_id, disagreement FROM resolution_disagreements")
        assert {row["condition_id"]: row["disagreement"] for row in listed} == {
            small_api.condition_of(name)[2:]: what
            for name, what in (
                ("stale", "open"),
                ("disputed", "unresolved"),
                ("disputed-still", "unresolved"),
            )
        }


def profits(ground: harness.Ground, wallets: Any) -> dict[str, float | None]:
    """Profit of each wallet by name, None where none of its markets is resolved."""
    rows = ground.sql(
        "SELECT wallet_address, if(num_resolved_markets = 0, NULL, toFloat64(realized_pnl_usd)) "
        "AS profit FROM wallet_pnl"
    )
    by_wallet = {row["wallet_address"]: row["profit"] for row in rows}
    return {name: by_wallet[small_api.wallet_of(name)[2:]] for name in wallets}
