"""Profit by category: computed and written by `report categories`, `finalize-all` and a run."""

from __future__ import annotations

import sys
import time
from typing import Any

from polybackfill import clocks, errors, settings
from polybackfill.filesystem import host_lock
from polybackfill.reports import category_breakdown
from polybackfill.run import bootstrap
from polybackfill.store import client, pnl

LOCK_FILE = "report.lock"
_SAMPLES = 5
# `inexact_reasons`: the reasons, and the number of wallets of each.
_ECONOMIC = """
SELECT
    count() AS wallets, countIf(is_exact) AS exact_wallets,
    toFloat64(ifNull(sum(economic_pnl_usd), 0)) AS economic_pnl_usd,
    sumMap(arrayMap(reason -> toString(reason), w.inexact_reasons),
        arrayMap(reason -> 1, w.inexact_reasons)) AS inexact_reasons
FROM wallet_pnl AS w
"""


def write_report(chosen: settings.Settings, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Compute and write the breakdown; what it came to. Raises errors.Stop.

    `may_be_empty`: without a trade to compute from the breakdown names no wallet.
    """
    folder = chosen.backfill.data_dir
    bootstrap.require_store(chosen)
    bootstrap.make_folder(folder, "BACKFILL_DATA_DIR")
    with host_lock.hold(folder / LOCK_FILE, "report categories"):
        return bootstrap.run(_categories(chosen, may_be_empty=may_be_empty))


async def make_report(store: client.Store, chosen: settings.Settings) -> dict[str, Any]:
    """At the end of a run. Raises errors.Stop, also while `report categories` is at work."""
    with host_lock.hold(chosen.backfill.data_dir / LOCK_FILE, "report categories", within_s=0):
        return await _make_report(store, chosen)


async def _categories(chosen: settings.Settings, *, may_be_empty: bool) -> dict[str, Any]:
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await _make_report(store, chosen, may_be_empty=may_be_empty)


async def _make_report(
    store: client.Store, chosen: settings.Settings, *, may_be_empty: bool = False
) -> dict[str, Any]:
    sources = await category_breakdown.sources(store)
    (known,) = await store.rows("SELECT count() AS markets FROM markets_dim")
    if not sources and not may_be_empty:
        raise errors.Stop("no trade is stored yet: polybackfill run")
    if not known["markets"]:
        print(
            "warning: there are no dimensions, so every market is Uncategorized: "
            "polybackfill dims build",
            file=sys.stderr,
        )
    await pnl.compute(store, inflated=chosen.backfill.inflated_sources)
    report = await category_breakdown.write(
        store,
        chosen.backfill.data_dir,
        generated_at=clocks.utc_text(time.time()),
        delivered_by=sources,
    )
    (economic,) = await store.rows(_ECONOMIC)
    economic["inexact_reasons"] = dict(zip(*economic["inexact_reasons"], strict=True))
    return {
        **report,
        "economic": economic,
        "by_category": await store.rows(
            "SELECT toString(category) AS category, count() AS wallets, "
            "toFloat64(sum(realized_pnl_usd)) AS realized_pnl_usd, "
            "round(100 * sum(num_resolved_markets) / sum(num_markets), 1) AS coverage_pct, "
            "sum(num_resolved_markets) AS resolved_positions "
            "FROM wallet_category_pnl WHERE num_markets > 0 GROUP BY category ORDER BY category"
        ),
        "samples": category_breakdown.samples(
            chosen.backfill.data_dir / category_breakdown.FILE, _SAMPLES
        ),
    }
