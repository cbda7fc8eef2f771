"""The sentence of a wallet: every case, and no figure without its coverage."""

from __future__ import annotations

from typing import Any

import pytest

from polybackfill.reports import category_breakdown

ADDRESS = "0xb744f56635b537e859152d14b022af5afe48c3f2"


def rows(pnls: dict[str, tuple[float, int, int]], **wallet: Any) -> list[dict[str, Any]]:
    """Category → P&L, markets on YES, markets on NO; ten markets each, eight resolved."""
    whole = {
        "wallet_pnl_usd": round(sum(pnl for pnl, _, _ in pnls.values()), 6),
        "wallet_fees_usd": 0.0,
        "wallet_fills": 40 * len(pnls),
        "wallet_fills_with_fee": 30 * len(pnls),
        "wallet_markets": 10 * len(pnls),
        "wallet_resolved_markets": 8 * len(pnls),
        "economic_pnl_usd": -254.4,
        "inexact_reasons": [],
        "coverage_pct": 80.0,
        "band": "high",
        "rank": 7,
        **wallet,
    }
    return [
        {
            "wallet_address": ADDRESS[2:],
            "category": category,
            "realized_pnl_usd": pnl,
            "fees_usd": 0.25,
            "num_fills": 40,
            "num_fills_with_fee": 30,
            "total_position_size_usd": 100.0,
            "num_markets": 10,
            "num_resolved_markets": 8,
            "num_winning_markets": 6,
            "num_losing_markets": 2,
            "yes_count": yes,
            "no_count": no,
            "dated_markets": 0,
            "early_entries": 0,
            "late_entries": 0,
            **whole,
        }
        for category, (pnl, yes, no) in pnls.items()
    ]


def text_of(pnls: dict[str, tuple[float, int, int]], **wallet: Any) -> str:
    text: str = category_breakdown.wallet(rows(pnls, **wallet))["summary_text"]
    return text


def sentence(pnls: dict[str, tuple[float, int, int]], **wallet: Any) -> str:
    """What is said of the profit held to resolution: the text without its last sentence."""
    text = text_of(pnls, **wallet)
    assert "economic loss, after fees, is $254." in text
    return text[: text.rindex(". T") + 1]


def test_the_sentence_of_the_issue() -> None:
    """Seed 004, wallet category breakdown: coverage in the sentence, two categories, the side."""
    assert sentence(
        {"Elections": (5_000.4, 1, 5), "Earnings": (4_011.5, 1, 2), "X": (0.1, 9, 0)}
    ) == (
        "Wallet 0xb744…c3f2 has $9,012 realized profit with 80% coverage. "
        "Most of that is in Elections and Earnings, mostly on the NO side."
    )


@pytest.mark.parametrize(
    ("pnls", "said"),
    [
        (
            {"Sports": (20.0, 8, 0), "Crypto": (-70.0, 3, 1), "Weather": (-10.0, 1, 1)},
            "has $60 realized loss with 80% coverage. "
            "Most of that is in Crypto and Weather, on both sides.",
        ),
        (
            {"Sports": (30.0, 3, 1), "Crypto": (-10.0, 0, 9)},
            "has $20 realized profit with 80% coverage. "
            "Most of that is in Sports, mostly on the YES side.",
        ),
        (
            {"Sports": (30.0, 0, 0)},
            "has $30 realized profit with 80% coverage. Most of that is in Sports.",
        ),
        # the same profit: by name
        (
            {"Sports": (5.0, 1, 0), "Crypto": (5.0, 1, 0), "Art": (5.0, 1, 0)},
            "has $15 realized profit with 80% coverage. "
            "Most of that is in Art and Crypto, mostly on the YES side.",
        ),
        (
            {"Sports": (30.0, 1, 0), "Crypto": (-30.0, 1, 0)},
            "has $0 realized profit with 80% coverage.",
        ),
    ],
)
def test_losses_ties_and_sides(pnls: dict[str, tuple[float, int, int]], said: str) -> None:
    assert sentence(pnls) == f"Wallet 0xb744…c3f2 {said}"


@pytest.mark.parametrize(
    ("wallet", "said"),
    [
        (
            {"coverage_pct": 9.996, "band": "medium"},
            "has $30 realized profit with 9.99% coverage, which is little. "
            "Most of that is in Sports, mostly on the YES side.",
        ),
        (
            {"coverage_pct": 1.999, "band": "none", "rank": 0},
            "has 1.99% coverage, too little to show a profit or a loss.",
        ),
        (
            {"wallet_resolved_markets": 0, "coverage_pct": 0.0, "band": "none", "rank": 0},
            "has no resolved market and 0% coverage.",
        ),
        (
            {"coverage_pct": 99.9999},
            "has $30 realized profit with 99.99% coverage. "
            "Most of that is in Sports, mostly on the YES side.",
        ),
    ],
)
def test_coverage(wallet: dict[str, Any], said: str) -> None:
    """Seed 004, P&L contract: no P&L figure without coverage; below 2 none is shown."""
    assert sentence({"Sports": (30.0, 3, 1)}, **wallet) == f"Wallet 0xb744…c3f2 {said}"


@pytest.mark.parametrize(
    ("wallet", "said"),
    [
        (
            {"economic_pnl_usd": 3_555.57},
            "That is held to resolution, before fees; the economic profit, after fees, is $3,556.",
        ),
        ({"economic_pnl_usd": 65.0, "band": "none"}, "The economic profit, after fees, is $65."),
        (
            {"economic_pnl_usd": None, "inexact_reasons": ["transfer", "unknown fees"]},
            "That is held to resolution, before fees; "
            "the economic profit is unknown: transfer, unknown fees.",
        ),
    ],
)
def test_the_economic_profit_ends_the_text(wallet: dict[str, Any], said: str) -> None:
    """It names what the figure before it is, and says why it is unknown."""
    assert text_of({"Sports": (30.0, 3, 1)}, **wallet).endswith(f". {said}")


def test_fields() -> None:
    """Seed 004, wallet category breakdown: the fields; win rate 0 to 1, with 0 markets null."""
    first, second = rows({"Sports": (30.0, 3, 1), "Crypto": (0.0, 0, 0)}, rank=0, band="none")
    second |= {"num_resolved_markets": 0, "num_winning_markets": 0, "num_losing_markets": 0}
    second |= {"dated_markets": 3, "early_entries": 1}
    one = category_breakdown.wallet([first, second])
    assert set(one) == {"address", "overall_stats", "by_category", "summary_text"}
    assert one["address"] == ADDRESS
    assert one["overall_stats"]["rank"] is None
    assert one["by_category"][0] == {
        "category": "Sports",
        "realized_pnl_usd": 30.0,
        "coverage_pct": 80.0,
        "num_markets": 10,
        "num_resolved_markets": 8,
        "num_winning_markets": 6,
        "num_losing_markets": 2,
        "win_rate": 0.75,
        "avg_pnl_per_market": 3.75,
        "total_position_size_usd": 100.0,
        "fees_usd": 0.25,
        "fees_known_pct": 75.0,
        "predominant_side": "YES",
        "yes_count": 3,
        "no_count": 1,
        "early_entries": None,
        "late_entries": None,
    }
    last = one["by_category"][1]
    assert (last["win_rate"], last["avg_pnl_per_market"], last["coverage_pct"]) == (None, None, 0)
    assert (last["early_entries"], last["late_entries"]) == (1, 0)


@pytest.mark.parametrize(
    ("yes", "no", "side"),
    [(0, 0, "MIXED"), (1, 0, "YES"), (2, 1, "MIXED"), (3, 1, "YES"), (2, 5, "NO"), (4, 8, "MIXED")],
)
def test_predominant_side(yes: int, no: int, side: str) -> None:
    """Seed 004, wallet category breakdown: a side when its count exceeds twice the other, else
    MIXED.
    """
    assert category_breakdown.predominant(yes, no) == side
