"""What the oracle, Gamma's prices and the order book's winners say of the same markets."""

from __future__ import annotations

from typing import TypedDict

from polybackfill import formats
from polybackfill.checks import check_result
from polybackfill.kinds import registry
from polybackfill.store import client

NAME = "payouts"
_BROUGHT_BY = " ".join(registry.storing("api_resolution_rows"))
LISTED = 20
QUERY = "SELECT * FROM resolution_disagreements"
# What differs, by the name the view gives it: of one, of several, and what it means.
MEANINGS = {
    "impossible": (
        "market pays",
        "markets pay",
        "what is not one dollar in all, by one of the sources",
    ),
    "token": (
        "order book winner is",
        "order book winners are",
        "a token that no list knows",
    ),
    "payouts": ("resolution disagrees", "resolutions disagree", "with Gamma or the order book"),
    "open": (
        "market is",
        "markets are",
        "resolved, but open in a list (read again by the next run)",
    ),
    "unresolved": (
        "market is",
        "markets are",
        "resolved by one source and undecided by another (asked for by the next run)",
    ),
}

_COUNTS = "SELECT disagreement, count() AS markets FROM resolution_disagreements GROUP BY 1"
_EXAMPLES = """
SELECT concat('0x', condition_id) AS condition, disagreement, by_resolutions, by_gamma,
    by_order_book
FROM resolution_disagreements
ORDER BY disagreement IN ('open', 'unresolved'), disagreement, condition_id LIMIT {limit}
"""
_IMPOSSIBLE = """
SELECT concat('0x', condition_id) AS condition, * EXCEPT condition_id
FROM resolution_disagreements WHERE disagreement = 'impossible'
"""
_RESOLVED = """
SELECT
    (SELECT count() FROM api_resolutions WHERE status = 'resolved') AS resolved,
    (SELECT count() FROM market_payouts WHERE payout_source IN ('order book', 'gamma'))
        AS resolved_in_lists_only
"""


class Disagreement(TypedDict):
    """A market, what differs (`MEANINGS`), and what each source pays; empty: it says nothing."""

    condition: str
    disagreement: str
    by_resolutions: list[float]
    by_gamma: list[float]
    by_order_book: list[float]


class Disagreements(TypedDict):
    """`counts`: markets by what differs; `examples`: the first of them."""

    counts: dict[str, int]
    examples: list[Disagreement]


async def disagreements(store: client.Store, *, limit: int = LISTED) -> Disagreements:
    """Markets of which the sources do not say the same."""
    counted = {row["disagreement"]: row["markets"] for row in await store.rows(_COUNTS)}
    counts = {name: counted.get(name, 0) for name in MEANINGS}
    examples = await store.records(_EXAMPLES.format(limit=limit), Disagreement) if counted else []
    return {"counts": counts, "examples": examples}


def describe(counts: dict[str, int]) -> list[str]:
    """One line for each way in which markets disagree: how many do."""
    return [
        f"{formats.counted(count, one, several)} {what}"
        for name, (one, several, what) in MEANINGS.items()
        if (count := counts.get(name, 0))
    ]


async def compare_payouts(context: check_result.CheckContext) -> check_result.CheckResult:
    """No market pays what is impossible; where the sources disagree is listed, and no failure."""
    name = NAME
    claim = "each resolved market pays one dollar in all; where its sources disagree is listed"
    (resolved,) = await context.store.rows(_RESOLVED)
    if not any(resolved.values()):
        return check_result.CheckResult(
            name,
            claim,
            "skipped",
            advice=f"no market is resolved yet: polybackfill run {_BROUGHT_BY}",
        )
    impossible = await context.store.rows(f"{_IMPOSSIBLE} ORDER BY condition")
    listed = await disagreements(context.store, limit=check_result.EXAMPLES)
    differing = {f"differ_{what}": count for what, count in listed["counts"].items()}
    return check_result.pass_or_fail(
        name,
        claim,
        holds=not impossible,
        evidence={**resolved, **differing, "impossible_payouts": len(impossible)},
        examples=[{**one} for one in listed["examples"]],
        advice=f"compare with the market's page; {QUERY} lists all that differ",
    )
