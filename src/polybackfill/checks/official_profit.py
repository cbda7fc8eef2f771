"""Polymarket's own figure of a wallet beside ours: the difference, its parts, the likeliest reason.

Polymarket adds up a profit as trades (before fees) less fees plus rewards; what is not yet taken
is within trades, and shown beside it. Ours is the economic profit of `wallet_market_pnl`, taken
apart the same way. Both are compared where they speak of the same rows: a wallet whose history is
not closed, one that has traded since it was read, and prices that moved in between are named and
not held against anybody.
"""

from __future__ import annotations

from typing import Any

from polybackfill.checks import check_result
from polybackfill.kinds import registry
from polybackfill.store import client, query_files

NAME = "official-pnl"
# Figures within so much count as equal: what rounding and prices of a moment leave.
NEAR_USD = 1.0
NEAR_SHARE = 0.01
LISTED = 50

_COMPARED = query_files.read("profits_beside_official")
_ALL = "SELECT wallet_address FROM api_user_stat_rows"
_SUMS = query_files.read("profits_apart")
_OTHERS = f"""
SELECT wallet, outcome, round(our_pnl_usd, 2) AS ours, round(official_pnl_usd, 2) AS official,
    round(difference, 2) AS difference, round(difference_trades, 2) AS trades,
    round(difference_fees, 2) AS fees, round(difference_rewards, 2) AS rewards,
    round(difference_unrealized, 2) AS unrealized, reason
FROM ({{compared}})
WHERE outcome != 'equal'
ORDER BY outcome = 'differs' DESC, isNull(difference), abs(difference) DESC, wallet
LIMIT {LISTED}
"""


async def is_computed(store: client.Store) -> bool:
    """Whether profits of wallets and markets stand in the store."""
    return bool(await store.rows("SELECT 1 AS found FROM wallet_market_pnl LIMIT 1"))


async def compare_wallet(store: client.Store, wallet: str) -> dict[str, Any] | None:
    """Both figures of a wallet (40 hex digits) and the difference of each part, in USD, None where
    one side is unknown; None when Polymarket's was not read. The profits must be computed.
    """
    sql = _COMPARED.format(near_usd=NEAR_USD, wallets="{wallet:String}")
    rows = await store.rows(sql, parameters={"wallet": wallet})
    return rows[0] if rows else None


async def official_pnl(context: check_result.CheckContext) -> check_result.CheckResult:
    """Each wallet whose history is closed earned what Polymarket says, to a dollar."""
    claim = "a wallet with a closed history has the profit that Polymarket states, to 1 USD"
    (read,) = await context.store.rows(
        "SELECT count() AS wallets, countIf(answer != 'not served') AS served FROM api_user_stats"
    )
    if not read["served"]:
        advice = "the API does not serve /v2/user-stats: Polymarket's own figure is unknown"
        if not read["wallets"]:
            brought_by = " ".join(registry.storing("api_user_stat_rows"))
            advice = f"Polymarket's own figure was not read yet: polybackfill run {brought_by}"
        return check_result.CheckResult(NAME, claim, "skipped", read, advice=advice)
    if not await is_computed(context.store):
        advice = "no profit is computed yet: polybackfill report categories"
        return check_result.CheckResult(NAME, claim, "skipped", read, advice=advice)
    compared = _COMPARED.format(near_usd=NEAR_USD, wallets=_ALL)
    (sums,) = await context.store.rows(
        _SUMS.format(near_usd=NEAR_USD, near_share=NEAR_SHARE, compared=compared)
    )
    others = await context.store.rows(_OTHERS.format(compared=compared))
    if not sums["compared"]:
        advice = "no wallet has both figures; the reasons are listed"
        return check_result.CheckResult(NAME, claim, "skipped", sums, others, advice)
    sums["share_within"] = sums["within_1_usd_or_1_percent"] / sums["compared"]
    return check_result.pass_or_fail(
        NAME,
        claim,
        holds=sums["differing"] == 0,
        evidence=sums,
        examples=others,
        advice="look at one of them: polybackfill report wallet 0x…; read it again: polybackfill "
        "plan reset --wallet WALLET, polybackfill run",
    )
