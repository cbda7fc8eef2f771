"""`polybackfill report categories`."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from polybackfill import clocks, errors, formats, settings
from polybackfill.filesystem import host_lock
from polybackfill.reports import category_breakdown, console_table
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


def categories(arguments: argparse.Namespace) -> int:
    """Every wallet's profit by category, as a table in the store and as a file."""
    chosen = bootstrap.settings_of(arguments)
    folder = chosen.backfill.data_dir
    report = written(chosen)
    if arguments.json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    console_table.show(
        "by category, all wallets: held to resolution, before fees", report["by_category"]
    )
    bands = ", ".join(f"{count:,} {band}" for band, count in report["bands"].items())
    print(f"wallets by coverage: {bands}")
    if (known := report["fees_known_pct"]) is not None:
        print(f"fees known for {known:g} % of the fills in resolved markets")
    print(_economic(report["economic"]))
    for text in report["samples"]:
        print(text)
    print(f"written: {folder / category_breakdown.FILE}")
    return errors.EXIT_OK


def _economic(total: dict[str, Any]) -> str:
    """The economic profit of all wallets where it is known, and why it is unknown of the others."""
    wallets, exact = total["wallets"], total["exact_wallets"]
    text = f"economic profit, after fees: ${total['economic_pnl_usd']:,.2f} of {exact:,}"
    text += f" of {formats.counted(wallets, 'wallet')}"
    if wallets == exact:
        return text
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in total["inexact_reasons"].items())
    return f"{text}; unknown of the others: {reasons}"


def written(chosen: settings.Settings, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Compute and write the breakdown; what it came to. Raises errors.Stop.

    `may_be_empty`: without a trade to compute from the breakdown names no wallet.
    """
    folder = chosen.backfill.data_dir
    bootstrap.require_store(chosen)
    bootstrap.make_folder(folder, "BACKFILL_DATA_DIR")
    with host_lock.hold(folder / LOCK_FILE, "report categories"):
        return bootstrap.run(_categories(chosen, may_be_empty=may_be_empty))


async def make_report(store: client.Store, chosen: settings.Settings) -> dict[str, Any]:
    """As the command, at the end of a run. Raises errors.Stop, also when the command is at it."""
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
    await pnl.compute(
        store,
        inflated=chosen.backfill.inflated_sources,
        cluster=chosen.clickhouse.cluster,
    )
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
