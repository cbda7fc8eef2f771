"""The checks of `validate`, by name, in the order in which they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType

from polybackfill import errors, guess
from polybackfill.checks import (
    candle_check,
    check_result,
    duplicate_check,
    list_checks,
    live_volume_check,
    official_profit,
    receipt_check,
    resolution_checks,
    set_aside_check,
    table_checks,
    volume_checks,
)

CHECKS: Mapping[str, check_result.Check] = MappingProxyType(
    {
        "duplicates": duplicate_check.duplicates,
        "overlap": table_checks.overlap,
        "view-arithmetic": table_checks.view_arithmetic,
        "receipts": receipt_check.receipts,
        "lists": list_checks.lists,
        "set-aside": set_aside_check.set_aside,
        "market-volume": volume_checks.market_volume,
        live_volume_check.NAME: live_volume_check.live_volumes,
        "user-volume": volume_checks.user_days,
        table_checks.HOLDINGS: table_checks.compare_holdings,
        "market-ids": table_checks.market_ids,
        resolution_checks.NAME: resolution_checks.compare_payouts,
        candle_check.NAME: candle_check.compare_candles,
        official_profit.NAME: official_profit.official_pnl,
    }
)


def choose_checks(only: Sequence[str]) -> list[str]:
    """The names to check, all of them by default. Raises errors.Stop for one nobody knows."""
    for name in only:
        if name not in CHECKS:
            known = f"the checks are {', '.join(CHECKS)}"
            raise errors.Stop(f"--only {name}: no such check; {known}{guess.near(name, CHECKS)}")
    return [name for name in CHECKS if not only or name in only]


async def run_checks(
    context: check_result.CheckContext, names: Sequence[str]
) -> AsyncIterator[check_result.CheckResult]:
    """The results, one check after the other. Raises what the store and the API raise."""
    for name in names:
        yield await CHECKS[name](context)
