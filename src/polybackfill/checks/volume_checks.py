"""Checks against what the API itself counted: the volume of a market, the day of a wallet."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import Any

from polybackfill.checks import check_result
from polybackfill.polymarket import http, official_figures
from polybackfill.store import query_files

# Gamma counts fills under 0.01 share, which no feed lists; the drift of tested markets was 0.000 %
# (third party, mid-2026).
VOLUME_SHARE, VOLUME_SHARES = 0.001, 1.0
# Feeds of markets go back three years (Data API v2).
WINDOW = "INTERVAL 3 YEAR"
_SIZE_SHARE = 1e-6
_DAYS_NAMED = 3

_MARKETS = query_files.read("volumes_beside_gamma").format(
    window=WINDOW, near_shares=VOLUME_SHARES, near_share=VOLUME_SHARE
)
_SAMPLE = """
SELECT wallet_address AS wallet, toUnixTimestamp(assumeNotNull(last_run_at)) AS walked_at
FROM wallet_backfill_plan
WHERE status = 'done' AND isNotNull(last_run_at)
ORDER BY priority_rank > {half:UInt32}, if(priority_rank > {half:UInt32}, cityHash64(wallet), 0),
    priority_rank, wallet
LIMIT {sample:UInt32}
"""
_DAYS = query_files.read("fills_by_day")

Day = tuple[int, bool, official_figures.Volume]
"""Day number since 1970, whether of combos, and its fills."""


async def market_volume(context: check_result.CheckContext) -> check_result.CheckResult:
    """Sizes of both sides of a market's trades, halved, are its volume."""
    (counts,) = await context.store.rows(
        "SELECT count() AS markets, countIf(proven) AS proven, countIf(comparable) AS compared, "
        f"countIf(comparable AND differs) AS differing FROM ({_MARKETS})"
    )
    name = "market-volume"
    claim = "a market's trade sizes, both sides, add up to twice its volume on Gamma"
    if not counts["compared"]:
        return check_result.CheckResult(
            name,
            claim,
            "skipped",
            counts,
            advice="no market is both listed and fetched whole yet: "
            "polybackfill run markets conditions",
        )
    examples = await context.store.rows(
        "SELECT concat('0x', condition_id) AS condition, round(volume, 2) AS volume, "
        f"round(stored, 2) AS stored, round(stored - volume, 2) AS difference FROM ({_MARKETS}) "
        f"WHERE comparable AND differs ORDER BY abs(stored - volume) DESC, condition "
        f"LIMIT {check_result.EXAMPLES}"
    )
    return check_result.pass_or_fail(
        name,
        claim,
        holds=counts["differing"] == 0,
        evidence=counts,
        examples=examples,
        advice="fetch them again: polybackfill plan reset --condition-id ID, polybackfill run",
    )


async def user_days(context: check_result.CheckContext) -> check_result.CheckResult:
    """Each sampled wallet has on each day the fills the API counts."""
    name = "user-volume"
    claim = "a wallet's fills and shares of each day equal those of /v2/user-volume"
    if context.get is None:
        return check_result.CheckResult(name, claim, "skipped", advice=context.silent)
    sampled = await context.store.rows(
        _SAMPLE, parameters={"sample": context.sample, "half": (context.sample + 1) // 2}
    )
    if not sampled:
        return check_result.CheckResult(
            name, claim, "skipped", advice="no wallet is fetched whole yet: polybackfill run"
        )
    examples: list[dict[str, Any]] = []
    wallets = days = 0
    for row in sampled:
        end = row["walked_at"] // official_figures.DAY_S
        stored = await _stored(context, row["wallet"], end)
        days += len({day for day, _, _ in stored})
        gaps = [gap async for gap in _gaps(context.get, row["wallet"], stored, 0, end - 1)]
        wallets += bool(gaps)
        examples += gaps[:_DAYS_NAMED]
    return check_result.pass_or_fail(
        name,
        claim,
        holds=not wallets,
        evidence={"wallets": len(sampled), "days": days, "wallets_differing": wallets},
        examples=examples[: check_result.EXAMPLES],
        advice="fetch them again: polybackfill plan reset --wallet WALLET, polybackfill run",
    )


async def _stored(context: check_result.CheckContext, wallet: str, end: int) -> list[Day]:
    rows = await context.store.rows(_DAYS, parameters={"wallet": wallet, "end": end})
    return [
        (
            row["day"],
            row["is_combo"],
            official_figures.Volume(trade_count=row["trade_count"], volume=row["volume"]),
        )
        for row in rows
    ]


async def _gaps(
    get: http.Get, wallet: str, stored: list[Day], first: int, last: int
) -> AsyncIterator[dict[str, Any]]:
    """The days from `first` to `last` that differ, found by halving: one question if none does."""
    days = [one for one in stored if first <= one[0] <= last]
    theirs = await official_figures.fetch_user_volume(
        get, wallet, first * official_figures.DAY_S, (last + 1) * official_figures.DAY_S - 1
    )
    # Whether combos count is not documented; both answers are right.
    plain = _sum(volume for _, is_combo, volume in days if not is_combo)
    if _equal(plain, theirs) or _equal(_sum(volume for _, _, volume in days), theirs):
        return
    if first == last:
        yield _gap(wallet, first, plain, theirs)
        return
    middle = (first + last) // 2
    named = itertools.count(1)
    for low, high in ((first, middle), (middle + 1, last)):
        async for gap in _gaps(get, wallet, days, low, high):
            yield gap
            if next(named) >= _DAYS_NAMED:
                return


def _sum(volumes: Iterable[official_figures.Volume]) -> official_figures.Volume:
    all_volumes = list(volumes)
    return official_figures.Volume(
        trade_count=sum(volume.trade_count for volume in all_volumes),
        volume=sum(volume.volume for volume in all_volumes),
    )


def _gap(
    wallet: str, day: int, ours: official_figures.Volume, theirs: official_figures.Volume
) -> dict[str, Any]:
    return {
        "wallet": f"0x{wallet}",
        "day": _date(day),
        "stored": ours.trade_count,
        "api": theirs.trade_count,
        "stored_shares": round(ours.volume, 6),
        "api_shares": round(theirs.volume, 6),
    }


def _date(day: int) -> str:
    moment = datetime.datetime.fromtimestamp(day * official_figures.DAY_S, datetime.UTC)
    return moment.date().isoformat()


def _equal(ours: official_figures.Volume, theirs: official_figures.Volume) -> bool:
    near = abs(ours.volume - theirs.volume) <= max(0.01, _SIZE_SHARE * theirs.volume)
    return ours.trade_count == theirs.trade_count and near
